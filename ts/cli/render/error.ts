import { isError, MappedRamError, messageOf, systemCode, type ErrorCode } from '../../errors.ts';
import { UsageError } from '../exit-codes.ts';
import { Interrupted } from '../interrupted.ts';
import { printable } from './format.ts';
import { causesOf, factsOf } from './json.ts';
import type { Style } from './style.ts';

const DIRECT_IO = '--direct-io auto goes through the page cache where direct I/O is not to be had';
const ENGINE = '--io-engine auto takes what there is; mapped-ram doctor says what is missing';
const OFFSET = 'if the stream starts further inside the file, give file:PATH,offset=BYTES';
const STATE =
  '--state takes what QEMU wrote as a plain file: migration (capability x-ignore-shared on, mapped-ram off)';
const INCOMPLETE = 'the save was cancelled or cut off, or it still runs';
const SHOWN = `${INCOMPLETE}; mapped-ram info shows what is there`;
const NO_CLONE =
  'without --incremental and --base all of the memory is written, and a guest that is restored from that is a clone';
const PLAIN = 'mapped-ram convert makes a mapped-ram file of it';
const TRUNCATED =
  'the file is shorter than it must be: was it copied to its end, or did what feeds the pipe fail?';

/** Returns advice on an error. */
function hintFor({ code, cause, found, rule }: MappedRamError, command: string): string | undefined {
  if (rule?.rule === 'incremental-needs-clone') return NO_CLONE;
  const packs = command.endsWith(' pack');
  // An error beneath marks the end of an index, so info can show that index. A pipe cannot be read a second time, and info has just failed.
  const isShown = cause instanceof MappedRamError && !/ (convert|info)$/.test(command);
  const hints: Partial<Record<ErrorCode, string | undefined>> = {
    ERR_MAPPED_RAM_BAD_MAGIC: packs ? STATE : OFFSET,
    ERR_MAPPED_RAM_DIRECT_IO_UNAVAILABLE: DIRECT_IO,
    ERR_MAPPED_RAM_ENGINE_UNAVAILABLE: ENGINE,
    ERR_MAPPED_RAM_EXISTS: '--force replaces it',
    ERR_MAPPED_RAM_INCOMPLETE: isShown ? SHOWN : INCOMPLETE,
    ERR_MAPPED_RAM_TRUNCATED: TRUNCATED,
    ERR_MAPPED_RAM_UNSUPPORTED: found === 'a plain stream' ? PLAIN : undefined,
  };
  return hints[code];
}

const BUG = 'this is a fault in mapped-ram; please report it with what --verbose prints';

/** Shows an error to people. */
export function renderError(error: unknown, command: string, verbose: boolean, style: Style): string {
  if (error instanceof Interrupted) return `mapped-ram: ${error.message}`;
  const lines = [`${style('red', `${command}:`)} ${printable(messageOf(error))}`];
  if (error instanceof UsageError) {
    lines.push(`Try: ${command} --help`);
    return lines.join('\n');
  }
  if (error instanceof MappedRamError) {
    lines[0] += style('dim', ` [${error.code}]`);
    const hint = hintFor(error, command);
    if (hint !== undefined) lines.push(`hint: ${hint}`);
  } else if (systemCode(error) !== 'ERR_ACCESS_DENIED') {
    lines.push(`hint: ${BUG}`);
  }
  if (verbose) {
    for (const [name, fact] of Object.entries(factsOf(error))) {
      lines.push(printable(`${name}: ${JSON.stringify(fact)}`));
    }
    for (const { code, message } of causesOf(error)) {
      lines.push(printable(`caused by: ${message}${code === undefined ? '' : ` [${code}]`}`));
    }
    if (isError(error) && !(error instanceof MappedRamError)) lines.push(error.stack ?? '');
  }
  return lines.join('\n');
}
