interface Span {
  readonly start: number;
  readonly end: number;
}

/**
 * Finds the value of a member of the outermost object in a JSON text that is known to parse. A caller can so change one
 * value and leave every other byte alone. The last member of the name wins, as with JSON.parse.
 */
export function memberSpan(text: string, key: string): Span | undefined {
  let depth = 0;
  let keyText: string | undefined;
  let valueStart: number | undefined;
  let span: Span | undefined;
  const close = (end: number): void => {
    if (keyText === key && valueStart !== undefined) span = trimmed(text, valueStart, end);
    keyText = undefined;
    valueStart = undefined;
  };
  for (let index = 0; index < text.length; index += 1) {
    const char = text[index];
    if (char === '"') {
      const end = endOfString(text, index);
      if (depth === 1 && valueStart === undefined) keyText = String(JSON.parse(text.slice(index, end)));
      index = end - 1;
    } else if (char === '{' || char === '[') {
      depth += 1;
    } else if (char === '}' || char === ']') {
      depth -= 1;
      if (depth === 0) close(index);
    } else if (depth === 1 && char === ':') {
      valueStart = index + 1;
    } else if (depth === 1 && char === ',') {
      close(index);
    }
  }
  return span;
}

function endOfString(text: string, start: number): number {
  let index = start + 1;
  while (text[index] !== '"') index += text[index] === '\\' ? 2 : 1;
  return index + 1;
}

function trimmed(text: string, start: number, end: number): Span {
  const value = text.slice(start, end);
  return {
    start: start + value.length - value.trimStart().length,
    end: end - (value.length - value.trimEnd().length),
  };
}
