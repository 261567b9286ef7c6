/**
 * The place that a migration goes to or comes from, in the shape of QMP's `channels` argument (docs/format.md §5). The
 * types carry QAPI's names; the fields are those of QEMU 9.0 to 10.0.
 */
export type MigrationAddress =
  | FileMigrationAddress
  | InetMigrationAddress
  | UnixMigrationAddress
  | VsockMigrationAddress
  | FdMigrationAddress
  | ExecMigrationAddress
  | RdmaMigrationAddress
  | DeferMigrationAddress;

/** A MigrationAddress that QAPI knows too: all but `defer`. */
export type QapiMigrationAddress = Exclude<MigrationAddress, DeferMigrationAddress>;

/** A file and a place in it. */
export interface FileMigrationArgs {
  /** A path, taken as it stands; `/dev/fdset/N` names an fd set of that QEMU instead of a file. */
  readonly filename: string;
  /** Offset of the stream in bytes, 0 to 2^64-1: a number up to 2^53-1, a bigint above. */
  readonly offset: number | bigint;
}

/** A TCP address, with its options. */
export interface InetSocketAddress {
  /** A name or an address; an empty host listens on every address. At most 64 bytes of UTF-8 in a URI. */
  readonly host: string;
  /** A number or a service name. At most 32 bytes of UTF-8 in a URI. */
  readonly port: string;
  /** Takes host and port as numbers only. No URI before QEMU 10.1 can say it. */
  readonly numeric?: boolean | undefined;
  /** Last port to try when listening, 0 to 65535. */
  readonly to?: number | undefined;
  readonly ipv4?: boolean | undefined;
  readonly ipv6?: boolean | undefined;
  readonly 'keep-alive'?: boolean | undefined;
  readonly mptcp?: boolean | undefined;
}

/** A unix socket. */
export interface UnixSocketAddress {
  readonly path: string;
  /** Puts the name into Linux's abstract namespace. No URI can say it. */
  readonly abstract?: boolean | undefined;
  /** Leaves the padding out of an abstract name. No URI can say it. */
  readonly tight?: boolean | undefined;
}

/** A vsock address: QEMU takes both of its numbers as text. */
export interface VsockSocketAddress {
  readonly cid: string;
  readonly port: string;
}

/** A socket that QEMU has already. */
export interface FdSocketAddress {
  /** A name given with `getfd`, or (incoming only) the number of an inherited descriptor. */
  readonly str: string;
}

/** A program that the stream is piped through. */
export interface MigrationExecCommand {
  /** Program and arguments, started without a shell. */
  readonly args: readonly string[];
}

/** `file:`, the only transport that mapped-ram can use. */
export interface FileMigrationAddress extends FileMigrationArgs {
  readonly transport: 'file';
}

/** `tcp:`. */
export interface InetMigrationAddress extends InetSocketAddress {
  readonly transport: 'socket';
  readonly type: 'inet';
}

/** `unix:`. */
export interface UnixMigrationAddress extends UnixSocketAddress {
  readonly transport: 'socket';
  readonly type: 'unix';
}

/** `vsock:`. */
export interface VsockMigrationAddress extends VsockSocketAddress {
  readonly transport: 'socket';
  readonly type: 'vsock';
}

/** `fd:`. */
export interface FdMigrationAddress extends FdSocketAddress {
  readonly transport: 'socket';
  readonly type: 'fd';
}

/** `exec:`. */
export interface ExecMigrationAddress extends MigrationExecCommand {
  readonly transport: 'exec';
}

/** `rdma:`. */
export interface RdmaMigrationAddress extends InetSocketAddress {
  readonly transport: 'rdma';
}

/** `-incoming defer`: the address follows later with `migrate-incoming`. QAPI has no such address. */
export interface DeferMigrationAddress {
  readonly transport: 'defer';
}

/** One entry of the `channels` argument of `migrate` and `migrate-incoming`. */
export interface MigrationChannel {
  readonly 'channel-type': 'main' | 'cpr';
  readonly addr: QapiMigrationAddress;
}
