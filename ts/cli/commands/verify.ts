import { defineCommand, type Command } from '../command.ts';
import { EXIT, UsageError } from '../exit-codes.ts';
import { BASE_OPTION, sourceWithBase } from '../options/base-option.ts';
import type { OptionDefs } from '../options/option-def.ts';
import { TRANSFER_OPTIONS, transferOptions } from '../options/transfer-options.ts';
import { withBar } from '../render/progress-bar.ts';
import { verifyLines } from '../render/verify.ts';

const args = {
  uri: {
    type: 'positional',
    required: true,
    description: 'The snapshot: a path, or file:PATH[,offset=SIZE]',
  },
  seal: {
    type: 'boolean',
    description: 'When nothing is wrong, write a seal: digests that later runs check against',
  },
  'seal-file': {
    type: 'string',
    valueHint: 'file',
    description: 'Where the seal is, or goes (default: the path of the snapshot and .seal)',
  },
  force: { type: 'boolean', description: 'With --seal: replace an existing seal, unchecked' },
  ...BASE_OPTION,
  ...TRANSFER_OPTIONS,
} as const satisfies OptionDefs;

export const verify: Command = defineCommand({
  name: 'verify',
  description:
    'Prove that a snapshot is whole. It checks structure and bitmaps, reads every page, and compares with the seal if there is one; the exit status is 3 when something is wrong.',
  args,
  examples: [
    'mapped-ram verify guest.mr',
    'mapped-ram verify guest.mr --seal',
    'mapped-ram verify guest.mr --json',
  ],
  run: async (session) => {
    const { line, signal } = session;
    const [seal, overwrite] = [line.flag('seal'), line.flag('force')];
    if (overwrite && !seal) throw new UsageError('--force replaces a seal: it goes with --seal');
    const options = { seal, overwrite, sealPath: line.value('seal-file'), ...transferOptions(line), signal };
    const api = await import('../../verify/verify.ts');
    const result = await withBar(session, 'verifying', (onProgress) =>
      api.verify(sourceWithBase(line, line.value('uri')), { ...options, onProgress }),
    );
    session.print(
      result,
      (style) => verifyLines(result, style),
      result.verified ? EXIT.done : EXIT.differences,
    );
  },
});
