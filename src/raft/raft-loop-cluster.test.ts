import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ErrorId } from "../base/errors.ts";
import { ConfChangeType, encodeConfChange } from "../proto/conf-change.ts";
import { RecordType } from "../ring/record-types.ts";
import { snapshotMessage } from "./core/messages.ts";
import { MessageType } from "./raft.ts";
import { UNAPPLIED_BYTES_MAX } from "./raft-loop.ts";
import type { RaftReport } from "./raft-report.ts";
import { ELECTION_TICKS, LoopCluster, type LoopMember } from "./testing/loop-cluster.ts";

function confChange(type: number, nodeId: bigint): Uint8Array {
  return encodeConfChange({ id: 1n, type, nodeId, context: new Uint8Array(0) });
}

/** Indexes differ from run to run where elections do: what was applied, without them. */
function texts(member: LoopMember): string[] {
  return member.applied.map((line) => line.replace(/^\d+ /, ""));
}

/** A leader that hands over to a member whose disk holds the transfer up until it is opened. */
async function beginTransfer(): Promise<{
  cluster: LoopCluster;
  leader: LoopMember;
  target: LoopMember;
  openDisk: () => void;
}> {
  const cluster = await LoopCluster.found(3);
  const leader = await cluster.elect();
  const [target] = cluster.followers as [LoopMember];
  const openDisk = target.holdDisk();
  leader.tell(RecordType.propose, 1, "put a");
  await cluster.settle();
  const id = new Uint8Array(8);
  new DataView(id.buffer).setBigUint64(0, target.id, true);
  leader.tell(RecordType.transferLeader, 0, id);
  return { cluster, leader, target, openDisk };
}

describe("raft loops of a cluster", () => {
  test("proposals of leader and followers reach every apply thread, in one order", async () => {
    const cluster = await LoopCluster.found(3);
    const leader = await cluster.elect();
    const [first, second] = cluster.followers as [LoopMember, LoopMember];
    leader.tell(RecordType.propose, 1, "of the leader");
    first.tell(RecordType.propose, 2, "of a follower");
    first.tell(RecordType.propose, 3, "of the same one");
    second.tell(RecordType.propose, 4, "of the other");
    await cluster.tick(2);
    assert.equal(leader.applied.length, 4);
    for (const follower of [first, second]) assert.deepEqual(follower.applied, leader.applied);
    const mine = texts(leader).filter((text) => text !== "of the leader" && text !== "of the other");
    assert.deepEqual(mine, ["of a follower", "of the same one"], "a member's proposals keep their order");
  });

  test("what only the leader of one term may propose is neither forwarded nor proposed in another term", async () => {
    const cluster = await LoopCluster.found(3);
    const leader = await cluster.elect();
    const [follower] = cluster.followers as [LoopMember];
    const inTerm = (term: number, text: string): Uint8Array => {
      const payload = Buffer.alloc(8 + text.length, text, "latin1");
      payload.writeDoubleLE(term);
      payload.write(text, 8);
      return payload;
    };
    const term = leader.appliedTerm;
    leader.tell(RecordType.proposeAsLeader, 1, inTerm(term, "in its term"));
    leader.tell(RecordType.proposeAsLeader, 2, inTerm(term - 1, "of an older term"));
    leader.tell(RecordType.proposeAsLeader, 3, inTerm(term + 1, "of another term"));
    follower.tell(RecordType.proposeAsLeader, 4, inTerm(term, "of a follower"));
    await cluster.tick(2);
    assert.deepEqual(texts(leader), ["in its term"]);
    assert.deepEqual(leader.errors, [`2 ${ErrorId.notLeader}`, `3 ${ErrorId.notLeader}`]);
    assert.deepEqual(follower.errors, [`4 ${ErrorId.notLeader}`]);
  });

  test("an entry is committed once a quorum's disks have it, the leader's own among them or not", async () => {
    const cluster = await LoopCluster.found(3);
    const leader = await cluster.elect();
    const [first, second] = cluster.followers as [LoopMember, LoopMember];
    const openFirst = first.holdDisk();
    const openSecond = second.holdDisk();
    leader.tell(RecordType.propose, 1, "put a");
    await cluster.settle();
    assert.deepEqual(leader.applied, [], "only the leader's disk has it");
    const openLeader = leader.holdDisk();
    leader.tell(RecordType.propose, 2, "put b");
    await cluster.settle();
    openFirst();
    await cluster.settle();
    assert.deepEqual(texts(leader), ["put a"]);
    openSecond();
    await cluster.tick();
    // Committed by the followers alone; the leader applies it when its own disk has it too.
    assert.deepEqual(texts(first), ["put a", "put b"]);
    assert.deepEqual(texts(leader), ["put a"]);
    openLeader();
    await cluster.settle();
    assert.deepEqual(texts(leader), ["put a", "put b"]);
  });

  test("a stall of 2 s in one member's fdatasync causes no election", async () => {
    const cluster = await LoopCluster.found(3);
    const leader = await cluster.elect();
    const { term } = leader.loop.consensus;
    for (const member of [leader, ...cluster.followers]) {
      const openDisk = member.holdDisk();
      leader.tell(RecordType.propose, 1, "during the stall");
      await cluster.tick(2 * ELECTION_TICKS);
      assert.equal(cluster.leader, leader);
      openDisk();
      await cluster.settle();
    }
    for (const { loop } of cluster.members.values()) assert.equal(loop.consensus.term, term);
    assert.equal(texts(leader).length, 3);
  });

  test("nobody votes before the vote is durable", async () => {
    const cluster = await LoopCluster.found(3);
    const gates = [...cluster.members.values()].map((member) => member.holdDisk());
    await cluster.tick(3 * ELECTION_TICKS);
    assert.ok([...cluster.members.values()].every(({ isLeader }) => !isLeader));
    for (const open of gates) open();
    await cluster.elect();
  });

  test("a candidate asks for votes when its term, its own vote and its log are durable, and not before", async () => {
    const cluster = await LoopCluster.found(3);
    const asked: string[] = [];
    cluster.drops = ({ type, from, to }) => {
      if (type === MessageType.vote) asked.push(`${from} asks ${to}`);
      return false;
    };
    const [first] = [...cluster.members.values()] as [LoopMember];
    const openDisk = first.holdDisk();
    first.loop.consensus.campaign();
    first.loop.pump();
    await cluster.tick();
    assert.equal(first.loop.consensus.term, 2, "a candidate");
    assert.deepEqual(asked, []);
    openDisk();
    await cluster.settle();
    assert.deepEqual(asked, ["1 asks 2", "1 asks 3"]);
    assert.equal(cluster.leader, first);
  });

  test("a sole voter that starts sends its learner nothing of a term that its disk does not have", async () => {
    const cluster = await LoopCluster.found(1);
    const old = await cluster.elect();
    const learner = await cluster.join(2n);
    old.tell(RecordType.proposeConfChange, 1, confChange(ConfChangeType.addLearnerNode, 2n));
    await cluster.tick(5);
    assert.equal(learner.appliedIndex, old.appliedIndex);
    const { term } = old.loop.consensus;
    cluster.isolate(learner);
    await old.loop.stop();
    cluster.heal();
    const sent: number[] = [];
    cluster.drops = (message) => {
      if (message.to === learner.id && message.term > term) sent.push(message.type);
      return false;
    };
    const openDisk = old.holdDisk();
    const again = await cluster.startAgain(old, [1n], 100, [2n]);
    await cluster.tick();
    assert.equal(again.loop.consensus.term, term + 1);
    assert.deepEqual(sent, [], "after a loss of power this term would begin again, with other entries");
    openDisk();
    await cluster.settle();
    again.tell(RecordType.propose, 2, "go on");
    await cluster.tick(2);
    assert.equal(texts(learner).at(-1), "go on");
  });

  test("a read at a follower sees what was committed before it, through the leader", async () => {
    const cluster = await LoopCluster.found(3);
    const leader = await cluster.elect();
    const [follower] = cluster.followers as [LoopMember];
    leader.tell(RecordType.propose, 1, "put a");
    await cluster.settle();
    const openDisk = follower.holdDisk();
    leader.tell(RecordType.propose, 2, "put b");
    await cluster.tick();
    follower.tell(RecordType.read, 3, "get");
    await cluster.settle();
    assert.deepEqual(texts(leader), ["put a", "put b"]);
    assert.deepEqual(texts(follower), ["put a"], "the read waits for the entry");
    openDisk();
    await cluster.tick();
    assert.equal(follower.applied.map((line) => line.replace(/^\d+ /, "")).join(), "put a,put b,read get");
  });

  test("a read whose answer is lost is asked for again after 500 ms, a cancelled one is not answered", async () => {
    const cluster = await LoopCluster.found(3);
    await cluster.elect();
    const [follower] = cluster.followers as [LoopMember];
    cluster.drops = ({ type }) => type === MessageType.readIndexResp;
    follower.tell(RecordType.read, 1, "get a");
    follower.tell(RecordType.read, 2, "get b");
    follower.tell(RecordType.cancel, 2);
    await cluster.tick(4);
    assert.deepEqual(follower.applied, []);
    cluster.drops = () => false;
    await cluster.settle();
    assert.deepEqual(follower.applied, []);
    await cluster.tick(2);
    assert.deepEqual(follower.applied, ["read get a"]);
  });

  test("a leader without its quorum answers no reads; they, and new proposals, go to the next leader", async () => {
    const cluster = await LoopCluster.found(3);
    const old = await cluster.elect();
    cluster.isolate(old);
    old.tell(RecordType.read, 1, "get");
    old.tell(RecordType.propose, 2, "lost");
    await cluster.tick(3 * ELECTION_TICKS);
    assert.equal(old.isLeader, false);
    const { leader } = cluster;
    assert.notEqual(leader, old);
    old.tell(RecordType.propose, 3, "waits");
    await cluster.settle();
    assert.equal(old.applied.length + old.errors.length, 0);
    cluster.heal();
    await cluster.tick(ELECTION_TICKS);
    assert.ok(old.applied.includes("read get"));
    assert.deepEqual(texts(leader), ["waits"], "what the old leader could not replicate is gone");
    assert.deepEqual(
      texts(old).filter((text) => !text.startsWith("read")),
      ["waits"],
    );
  });

  test("a leader that could not replicate as much as a member may hold hears the next leader all the same", async () => {
    const cluster = await LoopCluster.found(3);
    const old = await cluster.elect();
    cluster.isolate(old);
    const long = new Uint8Array(900 * 1024).fill(97);
    for (let bytes = 0; bytes < UNAPPLIED_BYTES_MAX; bytes += long.length) {
      old.tell(RecordType.propose, 1, long);
      await cluster.settle();
    }
    await cluster.tick(3 * ELECTION_TICKS);
    assert.ok(!old.isLeader);
    // What is not read from the streams of appends does not arrive.
    cluster.drops = ({ type, to }) => type === MessageType.app && cluster.member(to).appendsPaused;
    cluster.heal();
    cluster.leader.tell(RecordType.propose, 2, "of the next leader");
    await cluster.tick(ELECTION_TICKS);
    assert.deepEqual(texts(old), ["of the next leader"]);
    old.tell(RecordType.read, 3, "get");
    await cluster.tick(2);
    assert.equal(old.applied.at(-1), "read get");
  });

  test("what is proposed to a leader that hands over goes to the next leader", async () => {
    const { cluster, leader, target, openDisk } = await beginTransfer();
    leader.tell(RecordType.propose, 2, "put b");
    leader.tell(RecordType.propose, 3, "put c");
    leader.tell(RecordType.cancel, 3);
    await cluster.settle();
    assert.deepEqual(texts(leader), ["put a"], "nothing more is taken meanwhile");
    openDisk();
    await cluster.tick();
    assert.equal(cluster.leader, target);
    await cluster.tick(2);
    for (const member of [leader, target]) assert.deepEqual(texts(member), ["put a", "put b"]);
    assert.deepEqual(leader.errors, []);
  });

  test("what is proposed during a transfer that comes to nothing stays with the leader", async () => {
    const { cluster, leader, target } = await beginTransfer();
    cluster.isolate(target);
    leader.tell(RecordType.propose, 2, "put b");
    await cluster.tick(2);
    assert.deepEqual(texts(leader), ["put a"]);
    await cluster.tick(ELECTION_TICKS);
    assert.equal(cluster.leader, leader);
    assert.deepEqual(texts(leader), ["put a", "put b"]);
    assert.deepEqual(leader.errors, []);
  });

  test("a conf change is held until apply has judged it; an invalid one changes nothing", async () => {
    const cluster = await LoopCluster.found(3);
    const leader = await cluster.elect();
    const [follower] = cluster.followers as [LoopMember];
    const joiner = await cluster.join(4n);
    for (const member of cluster.members.values()) member.approves = false;
    follower.tell(RecordType.proposeConfChange, 1, confChange(ConfChangeType.addLearnerNode, 4n));
    leader.tell(RecordType.propose, 2, "behind");
    await cluster.tick(2);
    assert.deepEqual(texts(leader).toSorted(), ["behind", "conf change"]);
    assert.deepEqual(leader.loop.consensus.confState.learners, []);
    for (const member of cluster.members.values()) member.approves = true;
    follower.tell(RecordType.proposeConfChange, 3, confChange(ConfChangeType.addLearnerNode, 4n));
    await cluster.tick(5);
    for (const { loop } of cluster.members.values())
      assert.deepEqual(loop.consensus.confState.learners, [4n]);
    assert.equal(joiner.installed.length, 1, "the founding entries are in nobody's memory any more");
    leader.tell(RecordType.raftReport, 9);
    await cluster.settle();
    const report = JSON.parse((leader.errors.at(-1) as string).slice(2)) as RaftReport;
    assert.deepEqual(report.confState, { voters: ["1", "2", "3"], learners: ["4"] });
    assert.equal(report.match["4"], report.lastIndex);
  });

  test("a member that is removed hears of it; the others go on", async () => {
    const cluster = await LoopCluster.found(3);
    const leader = await cluster.elect();
    leader.tell(RecordType.proposeConfChange, 1, confChange(ConfChangeType.removeNode, leader.id));
    await cluster.tick(2);
    const survivors = cluster.followers;
    assert.ok(leader.isRemoved);
    cluster.isolate(leader);
    await cluster.tick(3 * ELECTION_TICKS);
    const next = survivors.find(({ isLeader }) => isLeader) as LoopMember;
    next.tell(RecordType.propose, 2, "go on");
    await cluster.tick(2);
    for (const member of survivors) assert.equal(texts(member).at(-1), "go on");
  });

  test("one of two voters is removed: it goes when the other one, which remembers from then on, says so", async () => {
    const cluster = await LoopCluster.found(2);
    const leader = await cluster.elect();
    const [other] = cluster.followers as [LoopMember];
    const founded = other.appliedIndex - 1;
    leader.tell(RecordType.proposeConfChange, 1, confChange(ConfChangeType.removeNode, leader.id));
    await cluster.tick(2);
    assert.deepEqual(other.loop.consensus.confState.voters, [other.id]);
    assert.deepEqual(leader.loop.consensus.confState.voters, [other.id]);
    assert.ok(!leader.isRemoved, "without its vote nobody could be elected who has not heard of the commit");
    leader.events.removedFromCluster();
    assert.ok(leader.isRemoved);
    cluster.isolate(leader);
    // Killed, with a database that has committed nothing since: only its log can say that the change is committed.
    other.appliedIndex = founded;
    const again = await cluster.startAgain(other, [1n, 2n], 0);
    await cluster.tick(3 * ELECTION_TICKS);
    assert.ok(again.isLeader);
  });

  test("one of two voters is removed and restarted: its vote elects the other one, which has not heard of the commit", async () => {
    const cluster = await LoopCluster.found(2);
    const leader = await cluster.elect();
    const [other] = cluster.followers as [LoopMember];
    const removalIndex = leader.loop.consensus.lastIndex + 1;
    cluster.drops = ({ from, commit }) => from === leader.id && commit >= removalIndex;
    leader.tell(RecordType.proposeConfChange, 1, confChange(ConfChangeType.removeNode, leader.id));
    await cluster.tick(2);
    assert.deepEqual(leader.loop.consensus.confState.voters, [other.id]);
    assert.deepEqual(other.loop.consensus.confState.voters, [1n, 2n]);
    // Both are killed. The removed one's database knows of the removal already.
    cluster.drops = () => false;
    const removed = await cluster.startAgain(leader, [other.id], 0);
    const again = await cluster.startAgain(other, [1n, 2n], 0);
    await cluster.tick(3 * ELECTION_TICKS);
    assert.ok(again.isLeader);
    assert.deepEqual(again.loop.consensus.confState.voters, [other.id]);
    again.tell(RecordType.propose, 2, "go on");
    await cluster.tick();
    assert.equal(texts(again).at(-1), "go on");
    assert.ok(!removed.isRemoved);
    removed.events.removedFromCluster();
    assert.ok(removed.isRemoved);
  });

  test("a follower that needs entries which are gone gets one snapshot, and then the log", async () => {
    const cluster = await LoopCluster.found(3, { snapshotCount: 10, catchUpEntries: 5 });
    const leader = await cluster.elect();
    const [slow] = cluster.followers as [LoopMember];
    cluster.isolate(slow);
    for (let i = 0; i < 50; i++) {
      leader.tell(RecordType.propose, i, `put ${i}`);
      await cluster.settle();
      leader.commitStorage();
    }
    await cluster.tick();
    cluster.heal();
    await cluster.tick(3);
    leader.tell(RecordType.propose, 99, "behind the snapshot");
    await cluster.tick(5);
    assert.equal(leader.snapshotsMade, 1);
    assert.equal(leader.lentSnapshot, 0, "the file is given back");
    assert.equal(slow.installed.length, 1);
    assert.deepEqual(texts(slow), ["behind the snapshot"]);
    assert.deepEqual(slow.discarded, []);
    // A leader that has not heard of its arrival sends it again, or a newer one that brings nothing new.
    const { nodeId: to, term, confState, commitIndex } = slow.loop.consensus;
    const snapshot = { index: commitIndex, term, confState };
    slow.events.receive({ ...snapshotMessage(to, snapshot), from: leader.id, term });
    await cluster.settle();
    assert.deepEqual([slow.installed.length, slow.discarded], [1, [commitIndex]]);
    // What it received survives a restart: the marker stands in its log.
    const again = await cluster.restart(slow.id, [1n, 2n, 3n], 100);
    leader.tell(RecordType.propose, 100, "after the restart");
    await cluster.tick(3);
    assert.deepEqual(texts(again), ["after the restart"]);
  });

  test("a conf change that apply judges while a snapshot takes its place does not change the snapshot's configuration", async () => {
    const cluster = await LoopCluster.found(3, { snapshotCount: 10, catchUpEntries: 5 });
    const leader = await cluster.elect();
    const [slow] = cluster.followers as [LoopMember];
    slow.heldVerdicts = [];
    leader.tell(RecordType.proposeConfChange, 1, confChange(ConfChangeType.addLearnerNode, 4n));
    await cluster.tick(2);
    assert.equal(slow.heldVerdicts.length, 1, "apply has it");
    cluster.isolate(slow);
    leader.tell(RecordType.proposeConfChange, 2, confChange(ConfChangeType.removeNode, 4n));
    for (let i = 0; i < 50; i++) {
      leader.tell(RecordType.propose, i, `put ${i}`);
      await cluster.settle();
      leader.commitStorage();
    }
    cluster.heal();
    await cluster.tick(5);
    assert.equal(slow.installed.length, 1);
    assert.deepEqual(slow.loop.consensus.confState, leader.loop.consensus.confState);
    leader.tell(RecordType.proposeConfChange, 3, confChange(ConfChangeType.addLearnerNode, 5n));
    await cluster.tick(2);
    assert.deepEqual(slow.heldVerdicts.length, 1, "the next one is judged as ever");
  });

  test("members that restart serve a follower that lags from their log, without a snapshot", async () => {
    const cluster = await LoopCluster.found(3);
    const leader = await cluster.elect();
    const [slow, other] = cluster.followers as [LoopMember, LoopMember];
    cluster.isolate(slow);
    for (let i = 0; i < 5; i++) leader.tell(RecordType.propose, i, `put ${i}`);
    await cluster.tick(2);
    assert.equal(texts(other).length, 5);
    // Their storage has applied everything, so nothing has to be replayed; still they keep what the third may need.
    const ids = [1n, 2n, 3n];
    const restarted = [await cluster.restart(leader.id, ids, 100), await cluster.restart(other.id, ids, 100)];
    cluster.heal();
    await cluster.tick(4 * ELECTION_TICKS);
    assert.deepEqual(texts(slow), ["put 0", "put 1", "put 2", "put 3", "put 4"]);
    assert.deepEqual(
      restarted.map(({ snapshotsMade }) => snapshotsMade),
      [0, 0],
    );
  });
});
