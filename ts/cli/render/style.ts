import { styleText } from 'node:util';

export type StyleName = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

/** Text in a colour or weight, or as it is where that is not wanted. */
export type Style = (name: StyleName, text: string) => string;

/** For a terminal that shows colours, unless NO_COLOR or TERM=dumb says otherwise. */
export function styleFor(stream: NodeJS.WriteStream): Style {
  const colours = stream.isTTY && stream.hasColors();
  return colours ? styleText : plain;
}

export function plain(_name: StyleName, text: string): string {
  return text;
}
