import * as fc from 'fast-check';

const anyDigits = (maxLength: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.integer({ min: 0, max: 9 }).map(String), maxLength });

/** Texts that are mostly sizes, some of them too large or too fine. */
export const sizeText: fc.Arbitrary<string> = fc
  .tuple(
    fc.constantFrom('', '', '', ' ', '+', '-', '\t+'),
    fc.oneof(
      anyDigits(22),
      fc.constantFrom('0x1f', '0xE', '0', '00x1', '18446744073709551615', '18014398509481983', '15'),
    ),
    fc.oneof(
      fc.constant(''),
      anyDigits(25).map((fraction) => `.${fraction}`),
      nearTie(),
      fc.integer({ min: 12, max: 25 }).map((nines) => `.${'9'.repeat(nines)}`),
    ),
    fc.constantFrom('', 'b', 'K', 'k', 'm', 'G', 't', 'p', 'E', 'e', 'kB', ' ', 'z'),
  )
  .map((parts) => parts.join(''));

/** Texts of the characters of sizes. Most are no sizes. */
export const sizeLikeText: fc.Arbitrary<string> = fc
  .array(fc.constantFrom(' ', '+', '-', '0x', '0', '1', '5', '9', '.', 'b', 'k', 'M', 'e', 'x', ',', 'é'), {
    maxLength: 6,
  })
  .map((parts) => parts.join(''));

/** Texts that are mostly `HOST:PORT,OPTIONS`, with characters that mean something in other places, too. */
export const inetText: fc.Arbitrary<string> = fc
  .tuple(
    fc.constantFrom('127.0.0.1', '', '[::1]', '[]', '[', 'h', 'é', 'h,x', 'a'.repeat(64), 'é'.repeat(33)),
    fc.constantFrom(':', ':', ':', ':', '::', ''),
    fc.constantFrom(
      '1',
      '1',
      '1',
      '',
      ' ',
      '1:2',
      'http',
      '1'.repeat(32),
      '1'.repeat(33),
      `${'1'.repeat(32)}x`,
    ),
    fc.array(
      fc
        .tuple(
          fc.constantFrom(',', ',', ',', ',', ',,', ', ', ''),
          fc.constantFrom('to', 'to', 'ipv4', 'ipv6', 'keep-alive', 'mptcp', 'other', ''),
          fc.constantFrom(
            '',
            '=',
            '=on',
            '=off',
            '=o',
            '=1',
            '=+70000',
            '= -1',
            '=99999999999999999999',
            '=1x',
            'x',
          ),
        )
        .map((parts) => parts.join('')),
      { maxLength: 4 },
    ),
  )
  .map(([host, colon, port, options]) => `${host}${colon}${port}${options.join('')}`);

/** Fractions that a suffix turns into something and a half, or a hair less or more. */
function nearTie(): fc.Arbitrary<string> {
  return fc
    .tuple(
      fc.integer({ min: 1, max: 30 }),
      fc.bigInt({ min: 0n, max: 2n ** 30n }),
      fc.integer({ min: -1, max: 1 }),
    )
    .map(([bits, seed, hair]) => {
      const places = 32;
      const half = 2n * (seed % 2n ** BigInt(bits)) + 1n;
      const exact = (half * 10n ** BigInt(places)) / 2n ** BigInt(bits + 1);
      return `.${(exact + BigInt(hair)).toString().padStart(places, '0')}`;
    });
}
