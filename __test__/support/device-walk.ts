import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';

import { type ErrorCode, messageOf, MappedRamError } from '../../ts/errors.ts';
import type { Writer } from '../../ts/negotiate/request.ts';
import { MODE_NAMES, type RestoreMode } from '../../ts/restore/modes/modes.ts';
import { save } from '../../ts/save/save.ts';
import { verify } from '../../ts/verify/verify.ts';
import { type DeviceRecipe, RECIPES } from './device-recipes.ts';
import { temporaryDirectory, type TemporaryDirectory } from './temporary.ts';

/** A guest that keeps changing its memory, and can be checked. */
export interface WalkedGuest extends AsyncDisposable {
  readonly qmp: Parameters<typeof save>[0];
  /** Lets the guest run on, stops it, and checks its memory. Throws when it does not get on, or its memory is wrong. */
  readonly assertAlive: () => Promise<unknown>;
  readonly cont: () => Promise<void>;
}

/** A machine whose devices are tried. Its guests have QEMU's default devices, and main memory in a shared file. */
export interface WalkedMachine {
  readonly title: string;
  readonly binary: string;
  readonly machine: string;
  /** @throws when QEMU does not start with these arguments */
  readonly start: (extraArgs: readonly string[]) => Promise<WalkedGuest>;
  readonly restore: (
    snapshot: string,
    mode: RestoreMode,
    extraArgs: readonly string[],
  ) => Promise<WalkedGuest>;
}

export type Outcome =
  /** Saved by both writers, verified with a seal, restored in every mode. */
  | { readonly kind: 'fine'; readonly args: readonly string[] }
  /** QEMU starts with none of the recipes. The words are those of the first. */
  | { readonly kind: 'needs help'; readonly why: string }
  /** The plan refuses to save the guest, by a rule. */
  | { readonly kind: 'refused'; readonly rule: string; readonly why: string }
  | { readonly kind: 'failed'; readonly step: string; readonly why: string };

/** The names of the devices that a QEMU lists for a machine. */
export function deviceNames({
  binary,
  machine,
}: Pick<WalkedMachine, 'binary' | 'machine'>): readonly string[] {
  const run = spawnSync(binary, ['-machine', machine, '-device', 'help'], { encoding: 'utf8' });
  return [...run.stdout.matchAll(/^name "([^"]+)"/gm)].flatMap(([, name]) => name ?? []).toSorted();
}

/**
 * Modes that refuse a device: a mapping of the snapshot lets nobody give memory back (docs/restore.md), and pages that
 * QEMU asks for come neither behind such a device nor into a file on a disk (docs/lazy.md).
 */
const REFUSALS: Partial<Record<RestoreMode, { readonly arg: RegExp; readonly code: ErrorCode }>> = {
  instant: { arg: /^virtio-mem/, code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' },
  lazy: { arg: /^virtio-mem|memory-backend-file,.*mem-path=/, code: 'ERR_MAPPED_RAM_UNSUPPORTED' },
};
const NO_DEVICE: DeviceRecipe = { before: [], members: '' };
const WRITERS: readonly Writer[] = ['engine', 'qemu'];

/**
 * Saves, verifies and restores a guest that has one device more than QEMU's default ones.
 * @param device the device's name; undefined for no further device
 */
export async function walkDevice(machine: WalkedMachine, device: string | undefined): Promise<Outcome> {
  await using dir = await temporaryDirectory();
  let words: string | undefined;
  for (const { before, members } of device === undefined ? [NO_DEVICE] : RECIPES) {
    const own = device === undefined ? [] : ['-device', members === '' ? device : `${device},${members}`];
    // Firmware starts one VGA only.
    const video = device !== undefined && /vga|qxl/.test(device) ? ['-vga', 'none'] : [];
    const args = [...before, ...video, ...own].map((arg) => arg.replaceAll('DIR', dir.path));
    const refused = startProblem(machine, args);
    if (refused === undefined) return await walk(machine, args, dir);
    words ??= refused;
  }
  return { kind: 'needs help', why: words ?? '' };
}

/** Starts a QEMU without a guest, and returns its words when it does not start. */
function startProblem({ binary, machine }: WalkedMachine, args: readonly string[]): string | undefined {
  const own = ['-machine', machine, '-display', 'none', '-serial', 'null', '-S', '-monitor', 'stdio'];
  const run = spawnSync(binary, [...own, ...args], { encoding: 'utf8', input: 'quit\n', timeout: 20_000 });
  return run.status === 0 ? undefined : `${run.signal ?? run.status}: ${run.stderr.trim().slice(0, 300)}`;
}

async function walk(
  machine: WalkedMachine,
  args: readonly string[],
  dir: TemporaryDirectory,
): Promise<Outcome> {
  let step = 'start';
  try {
    {
      await using guest = await machine.start(args);
      await guest.assertAlive();
      await guest.cont();
      for (const writer of WRITERS) {
        step = `save by ${writer}`;
        await save(guest.qmp, dir.file(writer), { writer, guard: 'off' });
        step = `going on after a save by ${writer}`;
        await guest.assertAlive();
        await guest.cont();
      }
    }
    for (const writer of WRITERS) {
      step = `verify of what ${writer} saved`;
      await assertVerified(dir, writer);
    }
    for (const writer of WRITERS) {
      for (const mode of MODE_NAMES) {
        step = `restore (${mode}) of what ${writer} saved`;
        const refusal = REFUSALS[mode];
        if (refusal !== undefined && args.some((arg) => refusal.arg.test(arg))) {
          await assertRefused(machine.restore(dir.file(writer), mode, args), refusal.code);
          continue;
        }
        await using guest = await machine.restore(dir.file(writer), mode, args);
        await guest.assertAlive();
      }
    }
    return { kind: 'fine', args };
  } catch (error) {
    const why = messageOf(error);
    if (step === 'start') return { kind: 'needs help', why };
    const rule = error instanceof MappedRamError ? error.rule?.rule : undefined;
    return rule !== undefined && step.startsWith('save by')
      ? { kind: 'refused', rule, why }
      : { kind: 'failed', step, why };
  }
}

/** Makes sure that a restore is refused. */
async function assertRefused(restoring: Promise<WalkedGuest>, code: ErrorCode): Promise<void> {
  const error: unknown = await restoring.then(
    (guest) => guest[Symbol.asyncDispose](),
    (reason: unknown) => reason,
  );
  assert(error instanceof MappedRamError && error.code === code, messageOf(error));
}

async function assertVerified(dir: TemporaryDirectory, writer: Writer): Promise<void> {
  for (const seal of [true, false]) {
    const { verified, findings } = await verify(dir.file(writer), { seal });
    if (!verified) throw new Error(findings.map(({ code, message }) => `${code}: ${message}`).join('; '));
  }
}
