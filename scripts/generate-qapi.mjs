// Writes ts/qmp/qapi.generated.ts: types for the QMP commands that this package uses, out of the schema of a real QEMU.
//
//   node scripts/generate-qapi.mjs [--qemu BINARY] [--stdout]
//
// QEMU's schema has the names of commands, members and values, which are the protocol. Its types have numbers only:
// their names and words are ours. The first line of the file names QEMU's version.
import { spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const COMMANDS = [
  'add-fd',
  'closefd',
  'cont',
  'device-list-properties',
  'getfd',
  'human-monitor-command',
  'migrate',
  'migrate-incoming',
  'migrate-set-capabilities',
  'migrate-set-parameters',
  'migrate_cancel',
  'qmp_capabilities',
  'qom-get',
  'query-block-exports',
  'query-block-jobs',
  'query-cpus-fast',
  'query-fdsets',
  'query-kvm',
  'query-machines',
  'query-memdev',
  'query-migrate',
  'query-migrate-capabilities',
  'query-migrate-parameters',
  'query-status',
  'query-target',
  'query-yank',
  'quit',
  'remove-fd',
  'stop',
  'x-debug-query-block-graph',
  'x-query-ramblock',
];

/**
 * Better names for types, by the name that the way to the type suggests. Names of the type's parts begin with the
 * better name.
 */
const NAMES = new Map([
  ['AddFdResult', 'FdsetDescriptor'],
  ['DeviceListPropertiesResult', 'QomProperty'],
  ['FdsetInfoFds', 'FdsetMember'],
  ['MigrateChannels', 'QapiMigrationChannel'],
  ['MigrateSetCapabilitiesCapabilities', 'MigrationCapabilitySetting'],
  ['MigrateSetParametersMode', 'MigrationMode'],
  ['MigrateSetParametersMultifdCompression', 'MultifdCompression'],
  ['MigrateSetParametersZeroPageDetection', 'ZeroPageDetectionMode'],
  ['MigrationCapabilitySettingCapability', 'MigrationCapability'],
  ['QapiMigrationChannelAddr', 'QapiMigrationAddress'],
  ['QapiMigrationChannelChannelType', 'MigrationChannelType'],
  ['QueryBlockExportsResult', 'BlockExport'],
  ['QueryBlockJobsResult', 'BlockJob'],
  ['QueryFdsetsResult', 'FdsetInfo'],
  ['QueryMachinesResult', 'MachineInfo'],
  ['QueryMemdevResult', 'MemdevInfo'],
  ['QueryMigrateCapabilitiesResult', 'MigrationCapabilityState'],
  ['QueryMigrateParametersResult', 'MigrationParameters'],
  ['QueryMigrateResult', 'MigrationReport'],
  ['QueryStatusResult', 'RunStatus'],
  ['QueryYankResult', 'YankInstance'],
  ['RunStatusStatus', 'RunState'],
  ['XDebugQueryBlockGraphResult', 'BlockGraph'],
]);

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const OUTPUT = join(ROOT, 'ts/qmp/qapi.generated.ts');
const IDENTIFIER = /^[A-Za-z_$][\w$]*$/;

/** @returns version and schema of a QEMU without a machine */
async function askQemu(binary) {
  const qemu = spawn(binary, ['-machine', 'none', '-nodefaults', '-display', 'none', '-qmp', 'stdio'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const started = new Promise((resolve, reject) => qemu.once('spawn', resolve).once('error', reject));
  await started;
  try {
    const lines = createInterface({ input: qemu.stdout })[Symbol.asyncIterator]();
    const next = async () => JSON.parse((await lines.next()).value);
    const ask = async (command) => {
      qemu.stdin.write(`${JSON.stringify({ execute: command })}\n`);
      for (;;) {
        const answer = await next();
        if (answer.error !== undefined) throw new Error(`${command}: ${answer.error.desc}`);
        if (answer.return !== undefined) return answer.return;
      }
    };
    const { major, minor, micro } = (await next()).QMP.version.qemu;
    await ask('qmp_capabilities');
    return { version: `${major}.${minor}.${micro}`, schema: await ask('query-qmp-schema') };
  } finally {
    qemu.kill('SIGKILL');
  }
}

class Writer {
  #entities;
  #declarations = new Map();
  #named = new Map();

  constructor(schema) {
    this.#entities = new Map(schema.map((entity) => [entity.name, entity]));
  }

  write(version) {
    const commands = COMMANDS.map((name) => this.#command(name));
    const declarations = [...this.#declarations].map(([name, type]) => `export type ${name} = ${type};`);
    const nothing = 'export type QapiNothing = Readonly<Record<string, never>>;';
    const imports = ['QmpArgument', 'QmpValue'].filter((type) =>
      [...commands, ...declarations].join().includes(type),
    );
    return [
      `// Made by scripts/generate-qapi.mjs from the schema of QEMU ${version}. Do not edit.`,
      `import type { ${imports.join(', ')} } from './json.ts';`,
      '/** Above 2^53-1 a bigint. */\nexport type QapiInteger = number | bigint;',
      nothing,
      '/** Another QEMU may know values that this one does not. */\nexport type QapiOther = string & Record<never, never>;',
      `/** The commands this package uses. */\nexport type QmpCommands = {\n${commands.join('\n')}\n};`,
      ...declarations,
      '',
    ].join('\n\n');
  }

  #entity(name) {
    const entity = this.#entities.get(name);
    if (entity === undefined) throw new Error(`QEMU has no ${name}`);
    return entity;
  }

  #command(name) {
    const { 'arg-type': argType, 'ret-type': retType } = this.#entity(name);
    const pascal = pascalCase(name);
    const args = this.#isEmpty(argType)
      ? 'undefined'
      : this.#type(argType, `${pascal}Arguments`, true, pascal);
    const result = this.#type(retType, `${pascal}Result`, false);
    return `readonly ${key(name)}: { readonly arguments: ${args}; readonly result: ${result} };`;
  }

  #isEmpty(name) {
    const { members, variants } = this.#entity(name);
    return members?.length === 0 && variants === undefined;
  }

  /**
   * Returns the TypeScript type for an entity of the schema.
   * @param suggested the name of the type if it needs one
   * @param input true for an argument: its members may be undefined
   * @param prefix the beginning of its parts' names; its own name by default
   */
  #type(name, suggested, input, prefix) {
    const entity = this.#entity(name);
    switch (entity['meta-type']) {
      case 'builtin':
        return builtin(entity['json-type'], input);
      case 'array':
        return `readonly ${parenthesized(this.#type(entity['element-type'], suggested, input))}[]`;
      case 'alternate':
        return entity.members.map((member) => this.#type(member.type, suggested, input)).join(' | ');
      case 'enum':
        return this.#declare(`enum ${name}`, suggested, () =>
          [...entity.values.map((value) => quote(value)), 'QapiOther'].join(' | '),
        );
      case 'object':
        if (this.#isEmpty(name)) return 'QapiNothing';
        return this.#declare(`${input ? 'input' : 'output'} ${name}`, suggested, (own) =>
          this.#object(entity, prefix ?? own, input),
        );
      default:
        throw new Error(`${name} is no type`);
    }
  }

  /** Returns the name of a type, and declares the type on first use. */
  #declare(identity, suggested, write) {
    const known = this.#named.get(identity);
    if (known !== undefined) return known;
    const name = NAMES.get(suggested) ?? suggested;
    if (this.#declarations.has(name)) throw new Error(`two types want to be called ${name}: see NAMES`);
    this.#named.set(identity, name);
    // The entry is made now, so that a type stands before its parts.
    this.#declarations.set(name, '');
    this.#declarations.set(name, write(name));
    return name;
  }

  #object({ members, tag, variants = [] }, prefix, input) {
    const plain = members.filter((member) => member.name !== tag);
    const base = plain.map((member) => this.#member(member, prefix, input));
    if (tag === undefined) return `{ ${base.join(' ')} }`;
    const common = base.length === 0 ? '' : ` & { ${base.join(' ')} }`;
    const { values } = this.#entity(members.find((member) => member.name === tag).type);
    const cases = values.map((value) => {
      const variant = variants.find((candidate) => candidate.case === value);
      const rest =
        variant === undefined || this.#isEmpty(variant.type)
          ? ''
          : ` & ${this.#type(variant.type, prefix + pascalCase(value), input)}`;
      return `({ readonly ${key(tag)}: ${quote(value)} }${rest})`;
    });
    return `(${cases.join(' | ')})${common}`;
  }

  #member(member, prefix, input) {
    const type = this.#type(member.type, prefix + pascalCase(member.name), input);
    const optional = 'default' in member;
    return `readonly ${key(member.name)}${optional ? '?' : ''}: ${type}${optional && input ? ' | undefined' : ''};`;
  }
}

function builtin(jsonType, input) {
  switch (jsonType) {
    case 'int':
      return 'QapiInteger';
    case 'value':
      return input ? 'QmpArgument' : 'QmpValue';
    case 'string':
    case 'number':
    case 'boolean':
    case 'null':
      return jsonType;
    default:
      throw new Error(`no type for ${jsonType}`);
  }
}

function parenthesized(type) {
  return type.includes(' ') ? `(${type})` : type;
}

function pascalCase(name) {
  return name
    .split(/[^A-Za-z0-9]+/)
    .map((word) => word.slice(0, 1).toUpperCase() + word.slice(1))
    .join('');
}

function key(name) {
  return IDENTIFIER.test(name) ? name : quote(name);
}

function quote(text) {
  return `'${text}'`;
}

function formatted(text) {
  const oxfmt = join(dirname(createRequire(import.meta.url).resolve('oxfmt/package.json')), 'bin/oxfmt');
  const run = spawnSync(process.execPath, [oxfmt, `--stdin-filepath=${OUTPUT}`], {
    cwd: ROOT,
    input: text,
    encoding: 'utf8',
  });
  if (run.status !== 0) throw new Error(`oxfmt: ${run.stderr}`);
  return run.stdout;
}

const { values: options } = parseArgs({
  options: {
    qemu: { type: 'string', default: 'qemu-system-x86_64' },
    stdout: { type: 'boolean', default: false },
  },
});
const { version, schema } = await askQemu(options.qemu);
const text = formatted(new Writer(schema).write(version));
if (options.stdout) process.stdout.write(text);
else writeFileSync(OUTPUT, text);
