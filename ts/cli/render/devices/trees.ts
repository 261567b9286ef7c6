import type {
  DeviceField,
  DeviceState,
  DeviceStates,
  DeviceStruct,
  DeviceValue,
} from '../../../stream/devices/device-state.ts';
import { formatCount, formatOffset, printable } from '../format.ts';
import type { Style } from '../style.ts';
import { problemLines } from './table.ts';

/** Limits for the bytes and elements of an array that are shown; --json has all of them. */
const MAX_BYTES = 32;
const MAX_ELEMENTS = 16;
/** Structs of no more plain fields than this are shown on one line. */
const MAX_INLINE = 6;
const INDENT = '  ';

/** Shows every field of each device. */
export function deviceTrees(
  { devices, undescribed, problems }: DeviceStates,
  style: Style,
): readonly string[] {
  const trees = devices.flatMap((device) => ['', ...deviceTree(device, style)]).slice(1);
  const sections = undescribed.map(
    ({ name, instanceId, version, offset, size }) =>
      `${style('bold', printable(`${name}/${instanceId}`))}  version ${version}, ${bytesAt(size, offset)}: not described`,
  );
  return [...trees, ...sections, ...problemLines(problems, style)];
}

function deviceTree(device: DeviceState, style: Style): readonly string[] {
  const { name, instanceId, version, offset, size, rest } = device;
  return [
    `${style('bold', printable(`${name}/${instanceId}`))}  version ${version}, ${bytesAt(size, offset)}`,
    ...structLines(device, INDENT, style),
    ...(rest === undefined ? [] : [`${INDENT}${style('yellow', 'not decoded')}  ${bytesText(rest)}`]),
  ];
}

function bytesAt(size: number | undefined, offset: number): string {
  return `${size === undefined ? 'an unknown number of' : formatCount(size)} bytes at ${formatOffset(offset)}`;
}

function structLines({ fields, subsections }: DeviceStruct, indent: string, style: Style): readonly string[] {
  const names = Math.max(0, ...fields.map(({ name }) => name.length));
  const types = Math.max(0, ...fields.map((field) => typeOf(field).length));
  const lines = fields.flatMap((field) => {
    const head = `${indent}${printable(field.name).padEnd(names)}  ${style('dim', printable(typeOf(field)).padEnd(types))}`;
    return withNested(head, field.value, indent + INDENT, style);
  });
  const nested = subsections.flatMap((subsection) => [
    `${indent}${printable(subsection.vmsdName)}  ${style('dim', `subsection, version ${subsection.version}`)}`,
    ...structLines(subsection, indent + INDENT, style),
  ]);
  return [...lines, ...nested];
}

function typeOf({ type, value }: DeviceField): string {
  return isList(value) ? `${type}[${value.length}]` : type;
}

/** Shows a value on the line of its head, or below it. */
function withNested(head: string, value: DeviceValue, indent: string, style: Style): readonly string[] {
  if (isStruct(value)) {
    if (isSmall(value)) return [`${head}  ${inlineText(value, style)}`];
    return [head.trimEnd(), ...structLines(value, indent, style)];
  }
  if (!isList(value)) return [`${head}  ${scalarText(value)}`];
  if (value.every((element) => !isStruct(element) && !isList(element)))
    return [`${head}  ${listText(value)}`];
  return [head.trimEnd(), ...elementLines(value, indent, style)];
}

/** Lists elements; those that look like the one before them are only counted. */
function elementLines(list: readonly DeviceValue[], indent: string, style: Style): readonly string[] {
  const lines: string[] = [];
  let before: string | undefined;
  let same = 0;
  const close = (): void => {
    if (same > 0) lines.push(`${indent}${style('dim', `… ${formatCount(same)} more of the same`)}`);
    same = 0;
  };
  for (const [index, element] of list.entries()) {
    const shown = withNested('', element, indent + INDENT, style);
    const text = shown.join('\n');
    if (text === before) {
      same += 1;
    } else {
      close();
      const [first = '', ...below] = shown;
      lines.push(`${indent}[${index}]${first}`, ...below);
      before = text;
    }
  }
  close();
  return lines;
}

function isSmall({ fields, subsections }: DeviceStruct): boolean {
  const plain = fields.every(({ value }) => typeof value !== 'object' || value === null);
  return plain && fields.length > 0 && fields.length <= MAX_INLINE && subsections.length === 0;
}

function inlineText({ fields }: DeviceStruct, style: Style): string {
  return fields
    .map(({ name, value }) => `${style('dim', printable(name))} ${scalarText(value)}`)
    .join(INDENT);
}

function listText(list: readonly DeviceValue[]): string {
  const shown = list.slice(0, MAX_ELEMENTS).map((element) => scalarText(element));
  if (list.length > MAX_ELEMENTS) shown.push(`… ${formatCount(list.length - MAX_ELEMENTS)} more`);
  return shown.join(' ');
}

/** Shows a value that holds no others, on one line. */
export function scalarText(value: DeviceValue): string {
  if (value instanceof Uint8Array) return bytesText(value);
  if (isStruct(value) || isList(value)) throw new TypeError('a value that holds others has lines of its own');
  // People read registers and flags in hexadecimal. A value that can be negative is a number.
  if ((typeof value === 'number' || typeof value === 'bigint') && value > 9) return `0x${value.toString(16)}`;
  return String(value);
}

function bytesText(bytes: Uint8Array): string {
  const shown = Buffer.from(bytes.subarray(0, MAX_BYTES))
    .toString('hex')
    .replaceAll(/(.{8})(?=.)/g, '$1 ');
  if (bytes.every((byte) => byte === 0))
    return bytes.length === 0 ? 'empty' : `${formatCount(bytes.length)} zero bytes`;
  return bytes.length <= MAX_BYTES ? shown : `${shown} … ${formatCount(bytes.length)} bytes`;
}

function isList(value: DeviceValue): value is readonly DeviceValue[] {
  return Array.isArray(value);
}

function isStruct(value: DeviceValue): value is DeviceStruct {
  return typeof value === 'object' && value !== null && 'fields' in value;
}
