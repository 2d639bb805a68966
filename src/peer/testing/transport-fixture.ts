/** Transports on loopback ports in one process, with an inbox in place of the loop. */

import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { type Cleanup, tempDir } from "../../../test/support/temp-dir.ts";
import { waitFor } from "../../../test/support/wait.ts";
import { formatId } from "../../cluster/identity.ts";
import type { MembershipReport } from "../../cluster/membership.ts";
import type { PeerEvents } from "../../raft/peer-network.ts";
import { MessageType, type RaftMessage } from "../../raft/raft.ts";
import { EntryView } from "../entry-view.ts";
import { PeerTransport, type PeerTransportOptions } from "../peer-transport.ts";
import { emptyMessage } from "../raft-message-decode.ts";

export const CLUSTER_ID = 0xb48276a6c1cdda46n;
export const WAIT_MS = 10_000;

/** What the loop would have seen. */
export class Inbox implements PeerEvents {
  readonly messages: (RaftMessage & { readonly texts: readonly string[] })[] = [];
  readonly unreachables: bigint[] = [];
  readonly snapshots: { readonly id: bigint; readonly ok: boolean }[] = [];
  readonly requests: { readonly requestId: number; readonly kind: number; readonly body: Uint8Array }[] = [];
  removals = 0;
  /** What the loop finds wrong with snapshots' files; null = nothing. */
  damage: Error | null = null;

  receive(message: RaftMessage): void {
    const texts = message.entries.flatMap(({ batch, from, count }) =>
      Array.from({ length: count }, (_, i) =>
        Buffer.from(batch.bytes.subarray(batch.dataStart(from + i), batch.dataEnd(from + i))).toString(),
      ),
    );
    this.messages.push({ ...message, entries: [], texts });
  }

  async checkSnapshot(): Promise<void> {
    if (this.damage !== null) throw this.damage;
  }

  unreachable(id: bigint): void {
    this.unreachables.push(id);
  }

  snapshotStatus(id: bigint, ok: boolean): void {
    this.snapshots.push({ id, ok });
  }

  peerRequest(requestId: number, kind: number, body: Uint8Array): boolean {
    this.requests.push({ requestId, kind, body: new Uint8Array(body) });
    return true;
  }

  removedFromCluster(): void {
    this.removals++;
  }

  /** Waits until `count` messages of a type have come. */
  async awaitMessages(
    type: number,
    count = 1,
  ): Promise<readonly (RaftMessage & { texts: readonly string[] })[]> {
    return await waitFor(`${count} messages of type ${type}`, WAIT_MS, () => {
      const found = this.messages.filter((message) => message.type === type);
      return found.length >= count ? found : undefined;
    });
  }
}

export interface TestMember {
  readonly id: bigint;
  readonly url: string;
  readonly folder: string;
  readonly inbox: Inbox;
  readonly transport: PeerTransport;
  readonly logs: string[];
}

/** A port that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A listening transport that knows no other member yet. */
export async function startMember(
  t: Cleanup,
  id: bigint,
  overrides: Partial<PeerTransportOptions> & {
    clusterId?: bigint;
    serverVersion?: string;
    port?: number;
    takesTraces?: boolean;
  } = {},
): Promise<TestMember> {
  const url = `http://127.0.0.1:${overrides.port ?? (await freePort())}`;
  const inbox = new Inbox();
  const folder = tempDir(t, "peer");
  const logs: string[] = [];
  const transport = await PeerTransport.listen({
    local: {
      memberId: id,
      clusterId: overrides.clusterId ?? CLUSTER_ID,
      peerUrls: [url],
      takesTraces: overrides.takesTraces ?? false,
      ...(overrides.serverVersion === undefined ? {} : { serverVersion: overrides.serverVersion }),
    },
    listenUrls: [url],
    snapshotFolder: folder,
    clock: { monotonicMs: () => performance.now(), unixMs: () => Date.now() },
    log: (level, message, fields) => logs.push(`${level} ${message} ${JSON.stringify(fields)}`),
    ...overrides,
    timing: { redialMs: 10, ...overrides.timing },
  });
  transport.start(inbox);
  t.after(() => transport.stop());
  return { id, url, folder, inbox, transport, logs };
}

/** JSON of a membership. */
export function membership(
  members: readonly { readonly id: bigint; readonly url: string }[],
  removed: readonly bigint[] = [],
  clusterVersion = "3.6.0",
): Uint8Array {
  const report: MembershipReport = {
    index: 1,
    members: members.map(({ id, url }) => ({
      id: formatId(id),
      name: `m${id}`,
      peerUrls: [url],
      clientUrls: [],
      isLearner: false,
    })),
    removed: removed.map(formatId),
    clusterVersion,
    downgradeTarget: "",
  };
  return Buffer.from(JSON.stringify(report));
}

/** Makes members know each other and waits until all streams stand, in both directions. */
export async function connect(...members: readonly TestMember[]): Promise<void> {
  for (const { transport } of members) transport.setMembership(membership(members));
  for (const member of members) {
    for (const other of members) if (other !== member) await awaitStreams(member, other);
  }
}

/** Waits until `member` can send to `other` on both streams. */
export async function awaitStreams(member: TestMember, other: TestMember): Promise<void> {
  await waitFor(`streams of ${other.id} at ${member.id}`, WAIT_MS, () => {
    const peer = member.transport.peer(other.id);
    const isReady = peer?.writer("message").isAttached === true && peer.writer("msgapp").isAttached;
    return isReady ? true : undefined;
  });
}

export function heartbeat(from: bigint, to: bigint, commit = 0): RaftMessage {
  return { ...emptyMessage(), type: MessageType.heartbeat, from, to, term: 1, commit };
}

/** MsgApp with these texts behind `index`. */
export function append(from: bigint, to: bigint, index: number, texts: readonly string[]): RaftMessage {
  const batch = new EntryView();
  batch.reset(Buffer.from(texts.join("")));
  let at = 0;
  for (const text of texts) batch.add(0, 1, at, (at += text.length));
  batch.firstIndex = index + 1;
  const entries = [{ batch, from: 0, count: texts.length }];
  return {
    ...emptyMessage(),
    type: MessageType.app,
    from,
    to,
    term: 1,
    logTerm: 1,
    index,
    commit: index,
    entries,
  };
}
