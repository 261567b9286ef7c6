export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Text as hex. */
export function ascii(text: string): string {
  return hex(new TextEncoder().encode(text));
}

/** Hex without the blanks that make it readable. */
export function compact(text: string): string {
  return text.replaceAll(/\s/g, '');
}
