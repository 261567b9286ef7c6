import prettyBytes from 'pretty-bytes';

// C0 and C1 codes could move the cursor or change colours. Tabs and line breaks stay: they are part of messages.
// oxlint-disable-next-line no-control-regex
const UNPRINTABLE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;

/** Formats a size: `1.5 GiB`. */
export function formatSize(size: number): string {
  return prettyBytes(size, { binary: true });
}

/** Formats a rate: `1.9 GB/s`, in powers of 1000, as disks are sold. */
export function formatRate(size: number, elapsedMs: number): string {
  return `${prettyBytes(elapsedMs > 0 ? (size / elapsedMs) * 1000 : 0)}/s`;
}

/** Formats a count: `262,144`. */
export function formatCount(count: number): string {
  return count.toLocaleString('en');
}

/** Formats a share: `22.1 %`. A share above none is never `0.0 %`, and one below all is never `100.0 %`. */
export function formatShare(part: number, whole: number): string {
  const share = (part / whole) * 100;
  if (part > 0 && share < 0.1) return '<0.1 %';
  return part < whole && share > 99.9 ? '>99.9 %' : `${share.toFixed(1)} %`;
}

/** Formats a duration: `0.35 s`, `12 s`, `3 min 5 s`. */
export function formatDuration(elapsedMs: number): string {
  const seconds = elapsedMs / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(seconds < 0.995 ? 2 : 1)} s`;
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** Formats an offset: `0x100000`. */
export function formatOffset(offset: number): string {
  return `0x${offset.toString(16)}`;
}

/** Makes text from files and file names safe for a terminal. */
export function printable(text: string): string {
  return text.replaceAll(
    UNPRINTABLE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
