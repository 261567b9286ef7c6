import { execFile } from 'node:child_process';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import test from 'ava';

import { packagedProject } from '../support/packaged.ts';
import { ROOT } from '../support/tree.ts';

const run = promisify(execFile);

/** The JSON that a user's program prints in a project that has the package but no binary for this platform. */
async function outputOf(loader: boolean, name: string, text: string): Promise<unknown> {
  await using project = await packagedProject({ native: false });
  if (loader) {
    // npm leaves only the loader when it skips an optional dependency.
    await mkdir(join(project.package, 'native'));
    await cp(join(ROOT, 'native/binding.cjs'), join(project.package, 'native/binding.cjs'));
  }
  await writeFile(project.file(name), text);
  const { stdout } = await run(process.execPath, [project.file(name)], { cwd: project.path });
  return JSON.parse(stdout);
}

const USES = `
const failure = (() => {
  try {
    return probe('.');
  } catch (error) {
    const { code, shortMessage, found } = error;
    return { code, shortMessage, found, known: error instanceof MappedRamError };
  }
})();
const again = (() => {
  try {
    return probe('.');
  } catch ({ shortMessage }) {
    return shortMessage;
  }
})();
const rejected = verify('missing.mr').catch(({ code }) => code);
rejected.then((verified) => {
  const { filename } = parseMigrationUri('file:guest.mr');
  const same = { error: uri.MappedRamError === MappedRamError, parse: uri.parseMigrationUri === parseMigrationUri };
  const size = String(uri.parseSize('1.5k'));
  const reader = stream.bytesReader(new Uint8Array(8));
  stream.readStreamIndex(reader).catch(({ code }) => {
    console.log(JSON.stringify({ filename, same, size, stream: code, failure, again: again === failure.shortMessage, verified }));
  });
});
`;

const EXPECTED = {
  filename: 'guest.mr',
  same: { error: true, parse: true },
  size: '1536',
  stream: 'ERR_MAPPED_RAM_BAD_MAGIC',
  failure: {
    code: 'ERR_MAPPED_RAM_INTERNAL',
    shortMessage:
      'no native binding for this platform could be loaded; if npm skipped an optional dependency, remove ' +
      'node_modules and package-lock.json and install again',
    found: `${process.platform}-${process.arch}`,
    known: true,
  },
  again: true,
  verified: 'ERR_MAPPED_RAM_IO',
};

for (const loader of [true, false]) {
  const missing = loader ? 'binary' : 'binary and no loader';

  test(`without a ${missing}, all entries can be imported, and the first native use says what is missing`, async (t) => {
    const imports = [
      "import { MappedRamError, parseMigrationUri, probe, verify } from 'mapped-ram';",
      "import * as stream from 'mapped-ram/stream';",
      "import * as uri from 'mapped-ram/uri';",
    ];
    t.deepEqual(await outputOf(loader, 'program.mjs', imports.join('\n') + USES), EXPECTED);
  });
}

test('without a binary, all entries can be required', async (t) => {
  const imports = [
    "const { MappedRamError, parseMigrationUri, probe, verify } = require('mapped-ram');",
    "const stream = require('mapped-ram/stream');",
    "const uri = require('mapped-ram/uri');",
  ];
  t.deepEqual(await outputOf(false, 'program.cjs', imports.join('\n') + USES), EXPECTED);
});

/** What a program gets when it uses native code, in a project whose `native/` has these files. */
async function failureWith(files: Readonly<Record<string, string>>): Promise<unknown> {
  await using project = await packagedProject({ native: false });
  await mkdir(join(project.package, 'native'));
  await cp(join(ROOT, 'native/binding.cjs'), join(project.package, 'native/binding.cjs'));
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(project.package, 'native', name), text);
  }
  const program = `
    import { probe } from 'mapped-ram';
    try { probe('.'); } catch ({ code, shortMessage, path, found, cause }) {
      console.log(JSON.stringify({ code, shortMessage, path: path?.split('/').at(-1), found, cause: cause.code }));
    }`;
  await writeFile(project.file('program.mjs'), program);
  const { stdout } = await run(process.execPath, [project.file('program.mjs')], { cwd: project.path });
  return JSON.parse(stdout);
}

const HERE = `${process.platform}-${process.arch}`;

test('a binary that the system refuses is named, with what the system says', async (t) => {
  const name = `mapped-ram.${HERE}-gnu.node`;
  t.deepEqual(await failureWith({ [name]: 'no library' }), {
    code: 'ERR_MAPPED_RAM_INTERNAL',
    shortMessage: 'the native binding is there, but the system cannot load it',
    path: name,
    cause: 'ERR_DLOPEN_FAILED',
  });
});

test('binaries for other platforms are named', async (t) => {
  const failure = await failureWith({ 'mapped-ram.plan9-mips.node': '' });
  t.like(failure, { code: 'ERR_MAPPED_RAM_INTERNAL', found: `${HERE}, with a binding for plan9-mips only` });
});
