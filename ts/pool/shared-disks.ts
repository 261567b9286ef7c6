import { resolve } from 'node:path';

import { MappedRamError } from '../errors.ts';
import { identityOf } from '../host/file-identity.ts';
import { isOn, type OptionValue } from '../restore/command-line/option-value.ts';
import { type CommandLineOption, membersOf } from '../restore/command-line/options.ts';

/** Options whose whole value is the file of a disk that the guest writes. */
const DISKS: ReadonlySet<string | undefined> = new Set([
  'hda',
  'hdb',
  'hdc',
  'hdd',
  'fda',
  'fdb',
  'sd',
  'mtdblock',
  'pflash',
]);
/** Members of `-drive` and `-blockdev` that name a file, at any depth: `file`, `file.filename`, `filename`. */
const FILE = /^(?:file|(?:.+\.)?filename)$/;
/** Members of the image behind an overlay, which nobody writes to. */
const BEHIND = /^(?:.+\.)?backing\./;
/** A disk over a protocol, which is no file of this host: `nbd:…`, `json:…`. */
const PROTOCOL = /^[\w+-]+:/;
/** Members that keep a guest from writing the file, or from having it for itself. */
const SPARED: readonly (readonly [key: RegExp, value: RegExp])[] = [
  [/^(?:.+\.)?(?:readonly|read-only)$/, /^(?:on|yes|true|y)$/],
  [/^snapshot$/, /^(?:on|yes|true|y)$/],
  [/^media$/, /^cdrom$/],
  // The caller has said that others may write the file, too.
  [/^(?:.+\.)?locking$/, /^off$/],
];

/**
 * Refuses guests that would write to the same disk: QEMU lets only one of them run. Nothing is known of disks that the
 * command lines do not name as files of this host.
 *
 * @param what the guests, in words: `two guests of the pool`
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT naming every such disk
 */
export function refuseSharedDisks(
  commandLines: readonly (readonly CommandLineOption[])[],
  what: string,
): void {
  const users = new Map<string, number>();
  const shared = new Set<string>();
  for (const [guest, commandLine] of commandLines.entries()) {
    for (const file of writtenFiles(commandLine)) {
      const key = keyOf(file);
      const user = users.get(key) ?? guest;
      users.set(key, user);
      if (user !== guest) shared.add(file);
    }
  }
  if (shared.size === 0) return;
  throw new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    `${what} would write to the same disk, ${[...shared].join(', ')}: let args give each a disk of its own (an overlay), or use snapshot=on`,
  );
}

/** The files that a command line lets its guest write to and have for itself, as it names them. */
function writtenFiles(options: readonly CommandLineOption[]): readonly string[] {
  if (options.some(({ name }) => name === 'snapshot')) return [];
  const sharing = new Set(
    membersOf(options, 'device')
      .filter((device) => isOn(device.get('share-rw')))
      .map((device) => device.get('drive')),
  );
  return options.flatMap((option) => {
    const { name, value } = option;
    // A word that belongs to no option is a disk.
    if (name === undefined) return option.words;
    if (DISKS.has(name)) return value === undefined || PROTOCOL.test(value) ? [] : [value];
    if (name !== 'drive' && name !== 'blockdev') return [];
    const members = flatten(option.members);
    const names = [members.get('id'), members.get('node-name')];
    return isSpared(members) || names.some((id) => id !== undefined && sharing.has(id))
      ? []
      : filesIn(name, members);
  });
}

function isSpared(members: OptionValue): boolean {
  return [...members].some(([key, value]) =>
    SPARED.some(([keys, values]) => keys.test(key) && values.test(value)),
  );
}

function filesIn(name: string, members: OptionValue): readonly string[] {
  return [...members].flatMap(([key, value]) => {
    // `file=NODE` of a -blockdev names another node.
    const isFile = FILE.test(key) && !PROTOCOL.test(value);
    const isNode = name === 'blockdev' && key === 'file';
    return isFile && !isNode ? [value] : [];
  });
}

/** The members of JSON, which are objects within objects, under the names that they have without JSON. */
function flatten(members: OptionValue): OptionValue {
  return new Map(
    [...members]
      .flatMap(([key, value]): readonly (readonly [string, string])[] =>
        value.startsWith('{') ? flatObject(key, JSON.parse(value)) : [[key, value]],
      )
      .filter(([key]) => !BEHIND.test(key)),
  );
}

function flatObject(prefix: string, object: object): readonly (readonly [string, string])[] {
  return Object.entries(object).flatMap(([key, value]: readonly [string, unknown]) => {
    const name = `${prefix}.${key}`;
    if (typeof value === 'object' && value !== null) return flatObject(name, value);
    return [[name, typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value)] as const];
  });
}

/** The same for all names of one file. */
function keyOf(file: string): string {
  const identity = identityOf(file);
  return identity === undefined ? resolve(file) : `${identity.dev}:${identity.ino}`;
}
