import { flatten, type FlattenForm } from '../../ts/index.ts';

/** The work that the process is told to do. */
export interface FlattenWork {
  readonly delta: string;
  readonly target: string;
  readonly form: FlattenForm;
}

// A process that flattens a delta when it is told to. It says `ready`, then `begun`, and ends when it is done.
process.on('message', (message) => {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the test that forks this process sends nothing else
  const { delta, target, form } = message as FlattenWork;
  process.send?.('begun');
  void flatten(delta, target, { form }).then(() => process.exit(0));
});
process.send?.('ready');
