import { styleText } from 'node:util';

export type StyleName = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

/** Gives text a colour or weight, or leaves it unchanged where nobody wants that. */
export type Style = (name: StyleName, text: string) => string;

/** Returns colours for a terminal that shows them, unless NO_COLOR or TERM=dumb rules them out. */
export function styleFor(stream: NodeJS.WriteStream): Style {
  const colours = stream.isTTY && stream.hasColors();
  return colours ? styleText : plain;
}

export function plain(_name: StyleName, text: string): string {
  return text;
}
