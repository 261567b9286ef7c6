import { StringDecoder } from 'node:string_decoder';

import { MappedRamError } from '../errors.ts';

/** The longest message of a real QEMU is the answer to query-qmp-schema: a quarter of a megabyte, a whole one pretty. */
const LONGEST_MESSAGE = 64 * 1024 * 1024;

/** Telnet's escape, with which three bytes of its negotiation begin. No byte of UTF-8 has this value. */
const IAC = 0xff;
const AFTER_IAC = 2;

/**
 * Cuts a QMP peer's output into the texts of messages: one line each, or several lines where QEMU prints prettily
 * (`-qmp-pretty`, `-mon …,pretty=on`). A line that begins no object is a text of its own, for the reader to refuse.
 */
export class QmpMessageTexts {
  readonly #decoder = new StringDecoder('utf8');
  /** Bytes of a telnet negotiation that are still to come: a server at `telnet:` begins with one. */
  #negotiation = 0;
  /** The beginning of a line. */
  #rest: string[] = [];
  /** The lines of a message that is not complete. */
  #lines: string[] = [];
  /** The brackets that are open at the end of these lines. */
  #depth = 0;
  /** Characters of `#lines`. */
  #length = 0;
  /** Characters of `#rest`. */
  #restLength = 0;
  /** True while the texts may be the end of a message that somebody else has begun to read. */
  #skips: boolean;

  /** @param joinsLate true when another process has read from this connection before, maybe half of a message */
  constructor(joinsLate = false) {
    this.#skips = joinsLate;
  }

  /** The beginning of what has come and is no complete message, at most some hundred characters of it. */
  get incomplete(): string {
    const [lines, rest] = [this.#lines.slice(0, 8), this.#rest.slice(0, 32).join('')];
    return [...lines, rest].join('\n').trimStart().slice(0, 200);
  }

  /**
   * Returns the texts of the messages that this chunk completes.
   * @throws {MappedRamError} ERR_MAPPED_RAM_OUT_OF_RANGE when a message grows beyond 64 Mi characters
   */
  push(chunk: Uint8Array): readonly string[] {
    const pieces = this.#decoder.write(this.#withoutTelnet(chunk)).split('\n');
    const rest = pieces.pop() ?? '';
    const texts: string[] = [];
    for (const piece of pieces) {
      this.#rest.push(piece);
      const text = this.#add(this.#rest.join(''));
      this.#rest = [];
      this.#restLength = 0;
      if (text !== undefined) texts.push(text);
    }
    this.#rest.push(rest);
    this.#restLength += rest.length;
    const length = this.#length + this.#restLength;
    if (length > LONGEST_MESSAGE) {
      throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', 'a QMP message is too long', {
        expected: `at most ${LONGEST_MESSAGE} characters`,
        found: length,
      });
    }
    return texts;
  }

  /** Takes a line. Returns the text of the message that it completes. */
  #add(line: string): string | undefined {
    // This also removes the mark that some programs put before UTF-8.
    const text = line.trim();
    if (text === '' || (this.#skips && !this.#isBeginning(line, text))) return undefined;
    const isAlone = this.#lines.length === 0;
    if (isAlone && !text.startsWith('{')) return text;
    this.#depth += depthOf(text);
    if (this.#depth > 0) {
      this.#lines.push(text);
      this.#length += text.length;
      return undefined;
    }
    const message = isAlone ? text : [...this.#lines, text].join('\n');
    this.#lines = [];
    this.#depth = 0;
    this.#length = 0;
    return message;
  }

  /**
   * True for the first line that begins a message. The line that somebody else has begun to read is never such a line,
   * unless it is whole; the lines inside of a pretty message are indented, and its last one closes it.
   */
  #isBeginning(line: string, text: string): boolean {
    if (!line.startsWith('{') || (text !== '{' && !isJson(text))) return false;
    this.#skips = false;
    return true;
  }

  #withoutTelnet(chunk: Uint8Array): Buffer {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (this.#negotiation === 0 && !bytes.includes(IAC)) return bytes;
    return Buffer.from(
      bytes.filter((byte) => {
        if (this.#negotiation > 0) {
          this.#negotiation -= 1;
          return false;
        }
        if (byte === IAC) this.#negotiation = AFTER_IAC;
        return byte !== IAC;
      }),
    );
  }
}

/** Counts the brackets that a line opens and does not close. Strings end with their line. */
function depthOf(line: string): number {
  let depth = 0;
  let isInside = false;
  for (let index = 0; index < line.length; index += 1) {
    const character = line[index];
    if (isInside) {
      if (character === '\\') index += 1;
      else if (character === '"') isInside = false;
    } else if (character === '"') isInside = true;
    else if (character === '{' || character === '[') depth += 1;
    else if (character === '}' || character === ']') depth -= 1;
  }
  return depth;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
