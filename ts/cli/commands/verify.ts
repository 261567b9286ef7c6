import { sessionOf, type Command } from '../command.ts';
import { OUTPUT_OPTIONS, TRANSFER_OPTIONS, transferOptions } from '../options/transfer-options.ts';
import { EXIT } from '../exit-codes.ts';
import { UsageError } from '../usage-error.ts';
import { verifyLines } from '../render/verify.ts';

export const verify: Command = {
  meta: {
    name: 'verify',
    description:
      'Prove that a snapshot is whole. It checks structure and bitmaps, reads every page, and compares with the seal if there is one; exits with 3 when something is wrong.',
  },
  args: {
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
    ...TRANSFER_OPTIONS,
    ...OUTPUT_OPTIONS,
  },
  examples: [
    'mapped-ram verify guest.mr',
    'mapped-ram verify guest.mr --seal',
    'mapped-ram verify guest.mr --json',
  ],
  run: async (context) => {
    const session = sessionOf(context);
    const { line, signal } = session;
    const [seal, overwrite] = [line.flag('seal'), line.flag('force')];
    if (overwrite && !seal) throw new UsageError('--force replaces a seal: it goes with --seal');
    const options = { seal, overwrite, sealPath: line.value('seal-file'), ...transferOptions(line), signal };
    const api = await import('../../verify/verify.ts');
    using bar = session.progressBar('verifying');
    const result = await api.verify(line.required('uri'), { ...options, onProgress: bar.update });
    bar[Symbol.dispose]();
    session.print(
      result,
      (style) => verifyLines(result, style),
      result.passed ? EXIT.done : EXIT.differences,
    );
  },
};
