/**
 * The network between members: etcd's rafthttp over HTTP/1.1, on the raft thread.
 *
 * It owns the peer listeners and all connections to other members, and knows from the applied membership whom to talk to. It
 * encodes what it is given before `send` returns and keeps nothing of it; what comes in is checked (cluster, versions, sender,
 * receiver) and handed to the loop in the order of its channel. It never waits, never asks the disk but for snapshot files, and
 * decides nothing about raft. Messages may be lost, repeated and overtaken between channels: raft expects that.
 *
 * ```
 *              Peer ── StreamWriter ×2 ──▶ answer to the GETs that the peer sent us
 *   send() ──▶      ── Pipeline ─────────▶ POST /raft              (no stream yet; remotes)
 *              Peer ── SnapshotSender ───▶ POST /raft/snapshot
 *
 *   receive ◀── StreamReader ×2 ◀── answer to the GETs that we send      PeerServer: RaftHandlers, MemberHandlers
 *           ◀── POST /raft, POST /raft/snapshot
 * ```
 *
 * `stop` closes everything; nothing is received afterwards. Read next: `peer.ts`, `stream-writer.ts`, `stream-reader.ts`,
 * `raft-handlers.ts`.
 */

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "../base/clock.ts";
import { formatId } from "../cluster/identity.ts";
import type { PeerEvents, PeerNetwork } from "../raft/peer-network.ts";
import { MessageType, type RaftMessage } from "../raft/raft.ts";
import type { SnapshotFile } from "../raft/snapshot-service.ts";
import { answerError } from "./http-answers.ts";
import { MemberHandlers } from "./member-handlers.ts";
import { membersOf, parseMembership } from "./members-json.ts";
import type { PeerContext, Refusal } from "./peer-context.ts";
import type { PeerCounters } from "./peer-counters.ts";
import { type LocalMember, requestHeaders } from "./peer-headers.ts";
import { createPeerAgent, parsePeerUrl } from "./peer-http.ts";
import { PEER_TIMING, type PeerTiming, REMOTES_MAX } from "./peer-limits.ts";
import { type PeerLog, reasonOf } from "./peer-log.ts";
import { type PeerReport, reportPeer } from "./peer-report.ts";
import { PeerServer } from "./peer-server.ts";
import { type Peer, Remote } from "./peer.ts";
import { type MemberDirectory, RaftHandlers } from "./raft-handlers.ts";

export interface PeerTransportOptions {
  /** Ids and advertised peer URLs of this member. */
  readonly local: LocalMember;
  /** --listen-peer-urls. */
  readonly listenUrls: readonly string[];
  /** Where received snapshots go: `<data-dir>/member/snap`. */
  readonly snapshotFolder: string;
  readonly clock: Clock;
  readonly log: PeerLog;
  readonly timing?: Partial<PeerTiming>;
  /** A snapshot's file was stored: how long that took, and its sync alone. */
  readonly onSnapshotStored?: (tookMs: number, syncMs: number) => void;
}

/** Types that travel on streams and pipelines. A snapshot comes with its file; all others are a member's own. */
const TRAVELLING: ReadonlySet<number> = new Set([
  MessageType.prop,
  MessageType.app,
  MessageType.appResp,
  MessageType.vote,
  MessageType.voteResp,
  MessageType.heartbeat,
  MessageType.heartbeatResp,
  MessageType.transferLeader,
  MessageType.timeoutNow,
  MessageType.readIndex,
  MessageType.readIndexResp,
  MessageType.preVote,
  MessageType.preVoteResp,
]);

export class PeerTransport implements PeerNetwork, MemberDirectory {
  readonly #context: PeerContext;
  readonly #peers = new Map<bigint, Peer>();
  readonly #remotes = new Map<bigint, Remote>();
  readonly #removed = new Set<bigint>();
  readonly #raft: RaftHandlers;
  readonly #member: MemberHandlers;
  readonly #heartbeats: NodeJS.Timeout;
  /** Peers to whom messages were lost in this turn. */
  readonly #unreachable = new Set<bigint>();
  /** Peers with something encoded and not yet written, and the last MsgAppResp to each, while {@link send} runs. */
  readonly #toFlush = new Set<Peer>();
  readonly #lastAppResp = new Map<bigint, RaftMessage>();
  #server: PeerServer | null = null;
  #events: PeerEvents | null = null;
  #appendsPaused = false;
  #stopped = false;

  private constructor(options: PeerTransportOptions) {
    const { clock, local, log } = options;
    const timing = { ...PEER_TIMING, ...options.timing };
    this.#context = {
      local,
      clock,
      log,
      timing,
      headers: requestHeaders(local),
      agent: createPeerAgent(),
      snapshotStored: (tookMs, syncMs) => options.onSnapshotStored?.(tookMs, syncMs),
      receive: (message) => this.#receive(message, TRAVELLING.has(message.type)),
      receiveSnapshot: (message) => this.#receive(message, message.type === MessageType.snap),
      checkSnapshot: (snapshot) => this.#events?.checkSnapshot?.(snapshot) ?? Promise.resolve(),
      unreachable: (id) => this.#reportUnreachable(id),
      snapshotStatus: (id, ok) => this.#tellSnapshotStatus(id, ok),
      removedFromCluster: () => this.#tellRemoved(),
    };
    this.#raft = new RaftHandlers(this.#context, this, options.snapshotFolder);
    this.#member = new MemberHandlers(local, timing, (requestId, kind, body) =>
      this.#events === null ? false : this.#events.peerRequest(requestId, kind, body),
    );
    this.#heartbeats = setInterval(() => this.#heartbeat(), timing.linkHeartbeatMs);
  }

  /** Listens on the peer URLs; requests are refused until {@link start}. Rejects if an address cannot be had. */
  static async listen(options: PeerTransportOptions): Promise<PeerTransport> {
    const transport = new PeerTransport(options);
    try {
      transport.#server = await PeerServer.listen(
        options.listenUrls,
        transport.#context.timing,
        (request, response) => transport.#handle(request, response),
      );
    } catch (error) {
      await transport.stop();
      throw error;
    }
    return transport;
  }

  /** Begins to hand on what comes in. Before the first {@link setMembership}. */
  start(events: PeerEvents): void {
    this.#events = events;
  }

  /** Ports listened on, by listen URL. */
  get ports(): readonly number[] {
    return this.#server?.ports ?? [];
  }

  /** What was counted, by member. */
  counters(): ReadonlyMap<bigint, PeerCounters> {
    return new Map([...this.#peers].map(([id, peer]) => [id, peer.counters]));
  }

  /** The same, and who is active, to be sent to another thread. */
  report(): PeerReport[] {
    return [...this.#peers.values()].map(({ id, activeSinceMs, counters }) =>
      reportPeer(id, activeSinceMs !== 0, counters),
    );
  }

  send(messages: readonly RaftMessage[]): void {
    if (this.#stopped) return;
    // Of several answers to a leader's appends the last tells all.
    for (const message of messages) {
      if (message.type === MessageType.appResp) this.#lastAppResp.set(message.to, message);
    }
    for (const message of messages) {
      if (message.type !== MessageType.appResp || this.#lastAppResp.get(message.to) === message) {
        this.#append(message);
      }
    }
    this.#lastAppResp.clear();
    for (const peer of this.#toFlush) peer.flush();
    this.#toFlush.clear();
  }

  sendSnapshot(message: RaftMessage, file: SnapshotFile): void {
    const peer = this.#peers.get(message.to);
    if (peer !== undefined && !this.#stopped) peer.sendSnapshot(message, file);
    else setImmediate(() => this.#tellSnapshotStatus(message.to, false));
  }

  setMembership(report: Uint8Array): void {
    const membership = parseMembership(report);
    this.#member.setMembership(membership);
    this.#removed.clear();
    for (const id of membership.removed) this.#removed.add(BigInt(`0x${id}`));
    const urlsById = new Map<bigint, readonly string[]>();
    for (const { id, peerUrls } of membersOf(membership)) {
      const urls = peerUrls.filter((url) => this.#isUsable(url));
      if (id !== this.#context.local.memberId && urls.length > 0) urlsById.set(id, urls);
    }
    for (const id of this.#peers.keys()) if (!urlsById.has(id)) this.#removePeer(id);
    for (const [id, urls] of urlsById) this.#setPeer(id, urls);
    for (const id of this.#removed) this.#dropRemote(id);
  }

  /** Somebody who is no member as far as we know: answers to it go by POST. Without effect for members and removed ones. */
  addRemote(id: bigint, urls: readonly string[]): void {
    const isKnown = id === this.#context.local.memberId || this.#peers.has(id) || this.#remotes.has(id);
    if (isKnown || this.#removed.has(id) || this.#remotes.size >= REMOTES_MAX || this.#stopped) return;
    const usable = urls.filter((url) => this.#isUsable(url));
    if (usable.length === 0) return;
    this.#remotes.set(id, new Remote(this.#context, id, usable));
    this.#context.log("info", "added new remote peer", {
      "remote-peer-id": formatId(id),
      "remote-peer-urls": usable,
    });
  }

  activeSinceMs(id: bigint): number {
    return this.#peers.get(id)?.activeSinceMs ?? 0;
  }

  respond(requestId: number, status: number, contentType: number, body: Uint8Array): void {
    this.#member.respond(requestId, status, contentType, body);
  }

  pauseAppends(paused: boolean): void {
    if (paused === this.#appendsPaused) return;
    this.#appendsPaused = paused;
    for (const peer of this.#peers.values()) peer.pauseAppends(paused);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#heartbeats);
    this.#member.stop();
    for (const peer of this.#peers.values()) peer.stop();
    for (const remote of this.#remotes.values()) remote.stop();
    this.#peers.clear();
    this.#remotes.clear();
    this.#context.agent.destroy();
    await this.#server?.close();
  }

  peer(id: bigint): Peer | undefined {
    return this.#peers.get(id);
  }

  isRemoved(id: bigint): boolean {
    return this.#removed.has(id);
  }

  refusalOf(message: RaftMessage): Refusal {
    if (this.#removed.has(message.from)) return "removed";
    if (message.to !== this.#context.local.memberId) return "mismatch";
    return null;
  }

  #receive(message: RaftMessage, isExpectedType: boolean): Refusal {
    const refusal = this.refusalOf(message) ?? (isExpectedType ? null : "local");
    if (refusal === null && !this.#stopped) this.#events?.receive(message);
    return refusal;
  }

  #append(message: RaftMessage): void {
    const peer = this.#peers.get(message.to);
    if (peer === undefined) {
      const isTaken = this.#remotes.get(message.to)?.send(message) ?? false;
      if (!isTaken) this.#reportUnreachable(message.to);
      return;
    }
    peer.append(message);
    this.#toFlush.add(peer);
  }

  #reportUnreachable(id: bigint): void {
    if (this.#unreachable.size === 0) setImmediate(() => this.#tellUnreachable());
    this.#unreachable.add(id);
  }

  #tellUnreachable(): void {
    const ids = [...this.#unreachable];
    this.#unreachable.clear();
    if (!this.#stopped) for (const id of ids) this.#events?.unreachable(id);
  }

  #tellSnapshotStatus(id: bigint, ok: boolean): void {
    if (!this.#stopped) this.#events?.snapshotStatus(id, ok);
  }

  #tellRemoved(): void {
    if (!this.#stopped) this.#events?.removedFromCluster();
  }

  #heartbeat(): void {
    for (const peer of this.#peers.values()) peer.heartbeat();
  }

  #setPeer(id: bigint, urls: readonly string[]): void {
    const peer = this.#peers.get(id);
    const fields = { "remote-peer-id": formatId(id), "remote-peer-urls": urls };
    if (peer === undefined) {
      // Its remote becomes the peer: a proposal that is on its way to the leader would be missed for a whole request time-out.
      const added = (this.#remotes.get(id) ?? new Remote(this.#context, id, urls)).promote(urls);
      this.#remotes.delete(id);
      if (this.#appendsPaused) added.pauseAppends(true);
      this.#peers.set(id, added);
      this.#context.log("info", "added remote peer", fields);
    } else if (peer.urls.join() !== urls.join()) {
      peer.update(urls);
      this.#context.log("info", "updated remote peer", fields);
    }
  }

  #removePeer(id: bigint): void {
    this.#peers.get(id)?.stop();
    this.#peers.delete(id);
    this.#context.log("info", "removed remote peer", { "removed-remote-peer-id": formatId(id) });
  }

  #dropRemote(id: bigint): void {
    this.#remotes.get(id)?.stop();
    this.#remotes.delete(id);
  }

  #isUsable(url: string): boolean {
    try {
      return !parsePeerUrl(url).secure;
    } catch (error) {
      this.#context.log("warn", "peer URL cannot be used", { url, error: reasonOf(error) });
      return false;
    }
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    const path = (request.url ?? "").replace(/\?.*$/s, "");
    // A client that goes away in between is nobody's failure.
    response.on("error", () => {});
    if (this.#events === null || this.#stopped) answerError(response, 503, "server is starting or stopping");
    else if (path === "/raft" || path.startsWith("/raft/")) this.#raft.handle(path, request, response);
    else this.#member.handle(path, request, response);
  }
}
