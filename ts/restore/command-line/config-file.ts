import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

import { MappedRamError } from '../../errors.ts';
import { formatOptionValue } from './option-value.ts';

/** A section of a file for `-readconfig`, as the option that says the same. */
export interface ConfigSection {
  /** The section's name: `object`, `memory`, … */
  readonly group: string;
  /** The name of the option; undefined for a section that no known option does the work of. */
  readonly option: string | undefined;
  /** The option's value. */
  readonly value: string;
}

/** The most bytes of a file that are read. QEMU's own examples have a few kilobytes. */
const MOST_BYTES = 1 << 20;
/** QEMU reads a line in pieces of this many bytes. */
const LONGEST_LINE = 1022;

/** Sections whose option has another name. */
const OTHER_NAMES: Readonly<Record<string, string>> = {
  memory: 'm',
  'smp-opts': 'smp',
  'boot-opts': 'boot',
};
/**
 * Sections whose option has the same name, takes the same members and does the same. Others do not: QEMU ignores
 * `acpi`, `option-rom`, `smbios` and, since 8.0, `nic` in a file.
 */
const SAME_NAMES = new Set(
  (
    'accel add-fd audiodev chardev device drive fsdev fw_cfg global icount machine mon msg name netdev numa object ' +
    'overcommit rtc sandbox spice tpmdev'
  ).split(' '),
);

/** `[group "id"]`, and `[group]`. QEMU ignores what follows. */
const GROUP = /^\[(?:(?<named>[^\s\]]+)\s+"(?<id>[^"]+)"|(?<group>[^\s\]]+)\s*)\]/;
/** `key = "value"`. The blank before the equals sign is needed. QEMU ignores what follows, and knows no escapes. */
const MEMBER = /^\s*(?<key>[^\s=,]+)\s+=\s*"(?<value>[^"]*)"/;

/**
 * Reads a file for QEMU's `-readconfig`.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a file that cannot be read, or not by QEMU: its memory is
 *   not known then
 */
export function readConfigFile(path: string): readonly ConfigSection[] {
  return parseConfig(textOf(path), path);
}

/** Reads the text of such a file. @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT naming the line */
export function parseConfig(text: string, path: string): readonly ConfigSection[] {
  const sections: { group: string; members: Map<string, string> }[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    if (line === '' || line.startsWith('#')) continue;
    const refuse = (expected: string): MappedRamError =>
      unusable(path, `line ${index + 1}`, { expected, found: JSON.stringify(line.slice(0, 80)) });
    if (line.length > LONGEST_LINE) throw refuse(`at most ${LONGEST_LINE} bytes`);
    if (line.startsWith('[')) {
      const { named, id, group = named } = GROUP.exec(line)?.groups ?? {};
      if (group === undefined) throw refuse('[section] or [section "id"]');
      sections.push({ group, members: new Map(id === undefined ? [] : [['id', id]]) });
      continue;
    }
    const { key, value } = MEMBER.exec(line)?.groups ?? {};
    if (key === undefined || value === undefined) throw refuse('key = "value"');
    const section = sections.at(-1);
    if (section === undefined) throw refuse('a [section] first');
    section.members.set(key, value);
  }
  return sections.map(({ group, members }) => ({
    group,
    option: OTHER_NAMES[group] ?? (SAME_NAMES.has(group) ? group : undefined),
    value: formatOptionValue(members, ''),
  }));
}

function textOf(path: string): string {
  try {
    const fd = openSync(path, 'r');
    try {
      // What is no file can be read only once, and QEMU is to read it.
      if (!fstatSync(fd).isFile()) throw unusable(path, 'it is no regular file');
      const bytes = Buffer.alloc(MOST_BYTES + 1);
      let length = 0;
      for (let count = -1; count !== 0 && length <= MOST_BYTES; length += count) {
        count = readSync(fd, bytes, length, bytes.length - length, null);
      }
      if (length > MOST_BYTES) throw unusable(path, `it has more than ${MOST_BYTES} bytes`);
      return bytes.toString('utf8', 0, length);
    } finally {
      closeSync(fd);
    }
  } catch (cause) {
    if (cause instanceof MappedRamError) throw cause;
    throw unusable(path, 'it cannot be read', { cause });
  }
}

function unusable(
  path: string,
  why: string,
  context: { readonly expected?: string; readonly found?: string; readonly cause?: unknown } = {},
): MappedRamError {
  return new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    `-readconfig: ${why}, so nobody knows what memory the guest has; move its sections to the command line`,
    { path, ...context },
  );
}
