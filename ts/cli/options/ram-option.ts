import { UsageError } from '../exit-codes.ts';
import type { CommandLine } from './command-line.ts';
import type { OptionDef } from './option-def.ts';

export function ramOption(description: string): OptionDef {
  return { type: 'string', valueHint: 'block=path', description, repeatable: true };
}

/**
 * Returns the paths of --ram by block id. The first `=` ends the id, because QEMU's own ids have none and paths may
 * have some.
 * @throws {UsageError}
 */
export function ramLocations(
  line: CommandLine<{ readonly ram: OptionDef }>,
): Readonly<Record<string, string>> {
  const locations = new Map<string, string>();
  for (const text of line.values('ram')) {
    const at = text.indexOf('=');
    const [block, path] = [text.slice(0, at), text.slice(at + 1)];
    if (at < 1 || path === '') {
      throw new UsageError(
        `--ram must be <block>=<path>, as in --ram pc.ram=/dev/shm/guest.ram, not '${text}'`,
      );
    }
    if (locations.has(block)) throw new UsageError(`--ram names block ${block} more than once`);
    locations.set(block, path);
  }
  return Object.fromEntries(locations);
}
