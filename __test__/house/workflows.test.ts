import { spawnSync } from 'node:child_process';

import test from 'ava';
import { parse } from 'yaml';

import { BENCH_OPTIONS } from '../../ts/cli/options/bench-options.ts';
import { filesBelow, readText } from '../support/tree.ts';

const WORKFLOWS = filesBelow('.github', '.yml').map((path) => ({ path, text: readText(path) }));
/** The jobs to copy. */
const EXAMPLES = filesBelow('docs', '.md').flatMap((path) =>
  [...readText(path).matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, text = '']) => ({ path, text })),
);

/** Lists the shell's lines in a job, wherever they are: values of `run` and `script`, one text for each. */
function scriptsIn(value: unknown): readonly string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, member]: [string, unknown]) => {
    if (!/^(run|script|before_script)$/.test(name)) return scriptsIn(member);
    return [Array.isArray(member) ? member.join('\n') : String(member)];
  });
}

/** Says in words what is wrong with a script: bash cannot read it, or `bench` has no such option. */
function faultsOf(script: string): readonly string[] {
  // Expressions are GitHub's, which puts their values there before bash reads the script.
  const text = script.replaceAll(/\$\{\{.*?\}\}/g, 'value');
  const { status, stderr } = spawnSync('bash', ['-n'], { input: text, encoding: 'utf8' });
  const lines = text
    .split('\n')
    .filter((line) => /mapped-ram bench |bench-builds\.sh |^compare=|COMPARE=/.test(line));
  const options = lines.flatMap((line) => [...line.matchAll(/ --([a-z-]+)/g)].map(([, name = '']) => name));
  return [
    ...(status === 0 ? [] : [stderr]),
    ...options.filter((name) => !Object.hasOwn(BENCH_OPTIONS, name)).map((name) => `bench has no --${name}`),
  ];
}

test('workflows and the jobs to copy are YAML, and their scripts are bash and know the options', (t) => {
  t.true(WORKFLOWS.length > 3);
  t.deepEqual(
    EXAMPLES.map(({ path }) => path),
    ['docs/ci.md', 'docs/ci.md'],
  );
  let benches = 0;
  for (const { path, text } of [...WORKFLOWS, ...EXAMPLES]) {
    const scripts = scriptsIn(parse(text, { strict: true, uniqueKeys: true }));
    t.true(scripts.length > 0 || text.includes('uses:'), path);
    for (const script of scripts) t.deepEqual(faultsOf(script), [], `${path}: ${script}`);
    benches += scripts.filter((script) => /mapped-ram bench |bench-builds\.sh /.test(script)).length;
  }
  t.is(benches, 3);
});

test('workflows and the jobs to copy name actions by commit, and each action by one commit', (t) => {
  const commits = new Map<string, string>();
  for (const { path, text } of [...WORKFLOWS, ...EXAMPLES]) {
    for (const [, action = '', commit = ''] of text.matchAll(/uses: ([\w./-]+)@(.*)$/gm)) {
      t.regex(commit, /^[0-9a-f]{40} # v\d+\.\d+\.\d+$/, `${path}: ${action}`);
      t.is(commits.get(action) ?? commit, commit, `${path}: ${action}`);
      commits.set(action, commit);
    }
  }
  t.true(commits.size > 5);
});

test('an option that bench lacks, and a script that is no bash, are found', (t) => {
  t.deepEqual(faultsOf('mapped-ram bench --sise 1GiB'), ['bench has no --sise']);
  t.regex(faultsOf('if true; then').join(''), /syntax error/);
});
