import { escapeHtml } from '../ts/bench/html/escape.ts';
import { STYLE } from '../ts/bench/html/style.ts';
import type { Chart } from './chart.ts';

/** Pixels around a chart, and of its lines of text. */
const MARGIN = 20;
const TITLE = 34;
const LINE = 18;
/** Pixels per character of the caption, generously. */
const CHARACTER = 6.6;
const FONT = 'system-ui, sans-serif';

/**
 * Makes an SVG file of a chart: with its title and caption, a white ground that shows on any page, and colours that need
 * no style sheet.
 */
export function svgOf({ title, caption, description, drawing }: Chart): string {
  const [width, height] = ['width', 'height'].map((name) => Number(drawing.getAttribute(name)));
  if (width === undefined || height === undefined) throw new TypeError('a drawing has a width and a height');
  const lines = wrapped(caption, width / CHARACTER);
  const [whole, tall] = [width + 2 * MARGIN, height + 2 * MARGIN + TITLE + lines.length * LINE];
  drawing.setAttribute('x', String(MARGIN));
  drawing.setAttribute('y', String(MARGIN + TITLE));
  drawing.setAttribute('aria-hidden', 'true');
  const below = MARGIN + TITLE + height + LINE;
  const text = [
    `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="title desc" width="${whole}" height="${tall}" viewBox="0 0 ${whole} ${tall}" color="var(--ink)" fill="currentColor" font-family="${FONT}">`,
    `<title id="title">${escapeHtml(title)}</title>`,
    `<desc id="desc">${escapeHtml(`${description}. ${caption}`)}</desc>`,
    `<rect width="${whole}" height="${tall}" fill="var(--paper)"/>`,
    `<text x="${MARGIN}" y="${MARGIN + LINE}" font-size="17" font-weight="600">${escapeHtml(title)}</text>`,
    rounded(drawing.outerHTML),
    ...lines.map(
      (line, index) =>
        `<text x="${MARGIN}" y="${below + index * LINE}" font-size="12.5" fill="var(--soft)">${escapeHtml(line)}</text>`,
    ),
    '</svg>\n',
  ];
  return coloured(text.join('\n'));
}

/** Puts colours in the place of variables and mixtures: programs that show SVG files do not all know these. */
function coloured(text: string): string {
  const light = STYLE.slice(0, STYLE.indexOf('@media'));
  const colours = new Map(
    [...light.matchAll(/(--[\w-]+): (#[\da-f]+)/g)].map(([, name, colour]) => [name, colour]),
  );
  return text
    .replaceAll(
      /color-mix\(in oklab, var\((--[\w-]+)\) ([\d.]+)%, var\((--[\w-]+)\)\)/g,
      (_, one, share, other) =>
        mixed(channelsOf(colours.get(one)), channelsOf(colours.get(other)), Number(share) / 100),
    )
    .replaceAll(/var\((--[\w-]+)\)/g, (_, name) => hex(channelsOf(colours.get(name))));
}

function channelsOf(colour: string | undefined): readonly number[] {
  if (colour === undefined) throw new TypeError('a chart uses a colour that the style sheet does not have');
  const digits = colour.slice(1);
  const pairs =
    digits.length === 3
      ? (digits.match(/./g) ?? []).map((digit) => digit + digit)
      : (digits.match(/../g) ?? []);
  return pairs.map((pair) => Number.parseInt(pair, 16));
}

function mixed(one: readonly number[], other: readonly number[], share: number): string {
  return hex(one.map((value, index) => Math.round(value * share + (other[index] ?? value) * (1 - share))));
}

function hex(channels: readonly number[]): string {
  return `#${channels.map((value) => value.toString(16).padStart(2, '0')).join('')}`;
}

/** Numbers have two digits behind the point: a hundredth of a pixel. */
function rounded(text: string): string {
  return text.replaceAll(/(?<=[=]")[^"]*(?=")/g, (value) =>
    value.replaceAll(/\d+\.\d{3,}/g, (number) => String(Number(Number(number).toFixed(2)))),
  );
}

function wrapped(text: string, most: number): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length >= most) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}
