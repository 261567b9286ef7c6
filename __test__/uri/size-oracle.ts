/**
 * A slow second parser of QEMU's size grammar: it goes character by character, with all arithmetic on integers. It
 * rounds the fraction to the nearest double by hand, since QEMU's strtod does the same.
 * @returns undefined when the text is no size
 */
export function sizeOracle(text: string): bigint | undefined {
  let rest = text;
  while (rest !== '' && ' \t\n\v\f\r'.includes(rest.charAt(0))) rest = rest.slice(1);
  if (rest.startsWith('+')) rest = rest.slice(1);
  if (rest.startsWith('0x') || rest.startsWith('0X')) return hexadecimal(rest.slice(2));

  const [whole, afterWhole] = digits(rest);
  const pointed = afterWhole.startsWith('.');
  const [fraction, suffix] = pointed ? digits(afterWhole.slice(1)) : [[], afterWhole];
  if (whole.length + fraction.length === 0) return undefined;
  const power = suffix === '' ? 0 : suffix.length === 1 ? 'bkmgtpe'.indexOf(suffix.toLowerCase()) : -1;
  if (power === -1) return undefined;

  const unit = 1024n ** BigInt(power);
  const { numerator, denominator } = nearestDouble(value(fraction), 10n ** BigInt(fraction.length));
  const isWhole = fraction.every((digit) => digit === 0n) || numerator === denominator;
  if (!isWhole && power === 0) return undefined;
  // floor(x + 1/2) of x = (whole + numerator/denominator) * unit
  const twice = 2n * (value(whole) * denominator + numerator) * unit + denominator;
  return fit(twice / (2n * denominator));
}

function hexadecimal(rest: string): bigint | undefined {
  let total = 0n;
  for (const character of rest.toLowerCase()) {
    const digit = '0123456789abcdef'.indexOf(character);
    if (digit === -1) return undefined;
    total = total * 16n + BigInt(digit);
  }
  return rest === '' ? undefined : fit(total);
}

function digits(text: string): [bigint[], string] {
  const found: bigint[] = [];
  for (const character of text) {
    if (character < '0' || character > '9') break;
    found.push(BigInt(character));
  }
  return [found, text.slice(found.length)];
}

function value(decimals: readonly bigint[]): bigint {
  return decimals.reduce((total, digit) => total * 10n + digit, 0n);
}

function fit(bytes: bigint): bigint | undefined {
  return bytes < 1n << 64n ? bytes : undefined;
}

/** The double next to numerator/denominator, which is below 1; ties go to the even one. */
function nearestDouble(
  numerator: bigint,
  denominator: bigint,
): { readonly numerator: bigint; readonly denominator: bigint } {
  let scale = 0n;
  while (scale < 1074n && numerator << scale < denominator << 52n) scale += 1n;
  const scaled = numerator << scale;
  const floor = scaled / denominator;
  const remainder = 2n * (scaled % denominator);
  const up = remainder > denominator || (remainder === denominator && floor % 2n === 1n);
  return { numerator: floor + (up ? 1n : 0n), denominator: 1n << scale };
}
