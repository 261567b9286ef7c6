import { sessionOf, type Command } from './command.ts';
import { OUTPUT_OPTIONS } from './common-options.ts';
import { EXIT } from './exit-codes.ts';
import { infoLines } from './info-lines.ts';

export const info: Command = {
  meta: {
    name: 'info',
    description:
      'Show what a snapshot holds. Its machine, RAM blocks and device state, and whether it is complete; reads headers and bitmaps only, no pages.',
  },
  args: {
    uri: {
      type: 'positional',
      required: true,
      description: 'The snapshot: a path, or file:PATH[,offset=SIZE]',
    },
    ...OUTPUT_OPTIONS,
  },
  examples: [
    'mapped-ram info guest.mr',
    'mapped-ram info file:container,offset=64K',
    'mapped-ram info guest.mr --json',
  ],
  run: async (context) => {
    const session = sessionOf(context);
    const { Snapshot } = await import('../snapshot/snapshot.ts');
    await using snapshot = await Snapshot.open(session.line.required('uri'));
    const result = await snapshot.info();
    session.print(result, (style) => infoLines(result, style), result.complete ? EXIT.done : EXIT.corrupt);
  },
};
