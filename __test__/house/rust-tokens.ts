/** A token of Rust: a name, `::`, a literal as `""`, or any other character. */
export type Token = string;

/** Matches what a Rust source is made of, but for the rest of a comment after its mark: such comments nest. */
const PIECES = new RegExp(
  [
    String.raw`\/\/.*|\/\*`,
    // Strings: raw ones, whose backslashes mean nothing, and others.
    String.raw`(?:br|cr|r)(#*)"[^]*?"\1|[bc]?"(?:\\[^]|[^"\\])*"`,
    // Characters, then lifetimes.
    String.raw`b?'(?:\\'|\\[^']+|[^'\\])'|'\w+`,
    // Names and numbers.
    String.raw`(?:r#)?[A-Za-z_]\w*|\d\w*`,
    String.raw`::|\S`,
  ].join('|'),
  'g',
);

/** The tokens of a source, without comments and lifetimes. */
export function tokensOf(text: string): readonly Token[] {
  const tokens: Token[] = [];
  const pieces = new RegExp(PIECES);
  for (let match = pieces.exec(text); match !== null; match = pieces.exec(text)) {
    const [piece] = match;
    if (piece === '/*') pieces.lastIndex = endOfComment(text, match.index);
    else if (piece.startsWith('//') || /^'\w+$/.test(piece)) continue;
    else if (/["']/.test(piece)) tokens.push('""');
    else tokens.push(piece.replace(/^r#/, ''));
  }
  return tokens;
}

/** The place behind a comment, and behind the comments in it. */
function endOfComment(text: string, start: number): number {
  let depth = 0;
  const marks = /\/\*|\*\//g;
  marks.lastIndex = start;
  for (let match = marks.exec(text); match !== null; match = marks.exec(text)) {
    depth += match[0] === '/*' ? 1 : -1;
    if (depth === 0) return marks.lastIndex;
  }
  return text.length;
}
