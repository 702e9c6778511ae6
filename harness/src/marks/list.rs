//! The marks: every point of a run that is worth having been at, each with its name and its meaning.
//!
//! The names are for ever: results of other runs are compared and merged by them. A new mark goes to the end of its
//! group; one that the core can never come to is wrong and is taken out.

use std::fmt;

macro_rules! marks {
    ($($group:ident $title:literal { $($mark:ident $name:literal $meaning:literal)* })*) => {
        /// A part of the service or of the world, to tell marks by.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Group {
            $(#[doc = $title] $group,)*
        }

        impl Group {
            /// All of them, in the order of a table.
            pub const ALL: &[Group] = &[$(Group::$group,)*];

            /// Its name in tables.
            pub fn name(self) -> &'static str {
                match self {
                    $(Group::$group => $title,)*
                }
            }
        }

        /// Something that a run has come to, seen from outside.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Mark {
            $($(#[doc = $meaning] $mark,)*)*
        }

        impl Mark {
            /// All of them, in the order of a table.
            pub const ALL: &[Mark] = &[$($(Mark::$mark,)*)*];
            /// How many there are.
            pub const COUNT: usize = Mark::ALL.len();

            /// Its name: lower case and dashes, for ever.
            pub fn name(self) -> &'static str {
                NAMES[self as usize].0
            }

            /// Where it belongs.
            pub fn group(self) -> Group {
                NAMES[self as usize].1
            }

            /// What has happened, in a line.
            pub fn meaning(self) -> &'static str {
                NAMES[self as usize].2
            }
        }

        static NAMES: [(&str, Group, &str); Mark::COUNT] = [$($(($name, Group::$group, $meaning),)*)*];
    };
}

marks! {
    Election "election" {
        PreVoteRefusedLiveLeader "pre-vote-refused-live-leader" "A pre-vote is refused by a follower that still hears its leader."
        PreVoteRefusedOlderLog "pre-vote-refused-older-log" "A pre-vote is refused because the log of the one who asks is older."
        PreVoteRefusedRival "pre-vote-refused-rival" "Two ask at once with logs that end alike, and one of them does not yield."
        PreVoteEpochTaken "pre-vote-epoch-taken" "A pre-vote asks for an epoch that is promised already, and has to ask for a later one."
        CandidateRefusedOlderLog "candidate-refused-older-log" "A candidate is refused a promise because its log is older."
        CandidateRefusedPromised "candidate-refused-promised" "A candidate is refused a promise because that epoch, or a later one, is promised already."
        CandidateTimedOut "candidate-timed-out" "A candidate waits for promises in vain and starts over."
        CandidateSuperseded "candidate-superseded" "A candidate gives up because of a newer epoch, or another leader."
        TwoCandidatesOneEpoch "two-candidates-one-epoch" "Two nodes stand for the same epoch."
        EpochPromisedInVain "epoch-promised-in-vain" "An epoch is durably promised, never led, and passed over by a later leader."
        PromiseSaidAgain "promise-said-again" "A node says a promise of an epoch once more to the same candidate."
        PromiseAfterElection "promise-after-election" "A promise arrives at a candidate that leads already."
        PromiseForNobody "promise-for-nobody" "A promise arrives at a node that neither stands for that epoch nor leads it any more."
        ElectedWithUncommitted "elected-with-uncommitted" "A leader is elected whose log ends with entries of an older epoch that nobody has executed."
        ElectedWithoutATail "elected-without-a-tail" "A leader is elected although another node has entries that the leader lacks."
        ElectedAgain "elected-again" "The same node wins two elections in a row."
        LeadLostUnestablished "lead-lost-unestablished" "A leader is elected and loses the lead before a quorum holds its opening entry."
        TwoLeaders "two-leaders" "A leader is established while another node still believes to lead an older epoch."
        EstablishedLate "established-late" "A leader is established after the leader of a later epoch was."
        FollowersLeaderSilent "leader-silent" "A follower gives its leader up because it is silent."
        FollowersLeaderGone "leader-gone" "A follower gives its leader up because the connection broke."
        QuorumLost "quorum-lost" "A leader gives up because it hears no quorum."
        LeaderSuperseded "leader-superseded" "A leader learns of a newer epoch and steps down."
        FollowerSuperseded "follower-superseded" "A follower leaves its leader for a newer epoch."
        HandedOver "handed-over" "A leader that is asked to end hands over to a follower."
        HeirElected "heir-elected" "The follower that was handed the lead wins the next election."
        RetiredWithoutHeir "retired-without-heir" "A leader that is asked to end finds nobody to hand over to in time."
        LateHandOver "late-hand-over" "A hand-over arrives at a node that no longer follows its sender in that epoch."
        HandedOverAgain "handed-over-again" "A leader that has handed over is elected once more, and hands over once more."
    }
    Discovery "discovery" {
        FollowedWithoutPromise "followed-without-promise" "A node learns of an epoch by its leader's heartbeat, without having promised it."
        OldLeaderRefused "old-leader-refused" "A leader of an older epoch is told that a newer one is promised."
        LeaderBackUnnoticed "leader-back-unnoticed" "A leader's process starts again before its followers have noticed that it ended."
        FollowedAgain "followed-again" "A node that lost its leader follows the same one again in the same epoch."
        EmptyEpoch "empty-epoch" "A leader is elected whose log ends with the opening entry of an epoch in which nothing was written."
        EpochSkipped "epoch-skipped" "The epoch of a new leader is not the one after its predecessor's."
        PromisedWhileFollowing "promised-while-following" "A follower in sync is asked for a newer epoch by another node and promises it."
    }
    Sync "sync" {
        SyncDiff "sync-diff" "A follower is brought up to date with the entries that it misses."
        SyncTruncate "sync-truncate" "A follower is told to cut what the leader does not have."
        SyncSnapshot "sync-snapshot" "A follower lags so far behind that it is given the state."
        DiffAcrossEpochs "diff-across-epochs" "The entries that a follower misses begin in an epoch before the one before the leader's."
        DiffOfNothing "diff-of-nothing" "A follower that misses nothing is told so."
        SyncRepeated "sync-repeated" "A leader begins anew to bring a follower up to date before it was in sync."
        TruncateThenDiff "truncate-then-diff" "After a cut the follower is given the entries that it misses."
        TruncateThenSnapshot "truncate-then-snapshot" "After a cut the follower still does not meet the leader's log in memory, and is given the state."
        TruncateAgain "truncate-again" "A follower has to cut twice until its log meets the leader's."
        TruncateAcknowledged "truncate-acknowledged" "Entries are cut that their holder had acknowledged to a deposed leader."
        TruncateDurable "truncate-durable" "Entries are cut that are durable on the disk of their holder."
        TruncateUnsynced "truncate-unsynced" "Entries are cut while their own writes are still on the way to the disk."
        TruncateOwnProposals "truncate-own-proposals" "A node cuts entries that it has proposed itself, as a leader."
        TruncateTwoEpochs "truncate-two-epochs" "One cut removes entries of two epochs."
        TruncateRecovered "truncate-recovered" "Entries are cut that this process found on its disk when it started."
        LateTruncate "late-truncate" "An order to cut arrives when it was carried out long ago, or at a log that must not be cut."
        WriteDuringSync "write-during-sync" "A leader proposes a request while a follower is being brought up to date."
        CommitDuringSync "commit-during-sync" "Something is committed while a follower is being brought up to date."
        SyncBrokenOff "sync-broken-off" "A follower loses its leader before it is in sync."
        SyncTooSlow "sync-too-slow" "Synchronization takes longer than is allowed and is given up."
        LeftBehind "left-behind" "A follower that was in sync falls so far behind that it needs the leader's state."
        TransferDuringWrites "transfer-during-writes" "A leader proposes a request while a follower receives its state."
        TransferBeganAgain "transfer-began-again" "The transfer of a state begins anew with another one before the first has arrived."
        TransferCutByReceiver "transfer-cut-by-crash" "A node ends in the middle of receiving a state."
        TransferCutByLeader "transfer-cut-by-leader" "A node loses the leader whose state it is receiving."
        TransferOfManyChunks "transfer-of-many-chunks" "A state arrives in eight pieces or more."
        TransferInstalled "transfer-installed" "A leader's state replaces a node's own."
        CrashBeforeReset "crash-before-reset" "A node ends after it has installed a leader's state and before its log's new beginning is durable."
        GapReported "gap-reported" "A follower in sync finds a gap in what it is sent and says where its log ends."
    }
    Broadcast "broadcast" {
        ProposeRepeated "propose-repeated" "A proposal arrives of which everything is held already."
        ProposeOverlapping "propose-overlapping" "A proposal arrives of which a part is held already."
        ProposeAhead "propose-ahead" "A proposal arrives before the one that it follows."
        ProposeOfOldEpoch "propose-of-old-epoch" "A proposal of an epoch that its receiver has left arrives late."
        CommitAhead "commit-ahead" "A commit arrives before the entries that it is about."
        CommitOfOldEpoch "commit-of-old-epoch" "A commit of an epoch that its receiver has left arrives late."
        AckWentBack "ack-went-back" "An acknowledgement arrives after one that covers more."
        AckOfOldEpoch "ack-of-old-epoch" "An acknowledgement of an older epoch arrives at a leader."
        HeartbeatOutOfOrder "heartbeat-out-of-order" "A heartbeat arrives after a later one."
        HeartbeatOfOldEpoch "heartbeat-of-old-epoch" "A heartbeat of an epoch that its receiver has left arrives late."
        ChunkAhead "chunk-ahead" "A piece of a state arrives before the one before it."
        ChunkRepeated "chunk-repeated" "A piece of a state arrives that has arrived before."
        ChunkLate "chunk-late" "A piece of a state arrives at a node that has no use for it any more."
        FullBatch "full-batch" "A proposal carries several entries, as many as the limit allows."
        ForwardRepeated "forward-repeated" "Commands of a follower's clients arrive that have arrived before."
        ForwardAhead "forward-ahead" "Commands of a follower's clients arrive before those sent before them."
        ForwardOfOldEpoch "forward-of-old-epoch" "Commands of a follower's clients were sent in an older epoch than the one in which they arrive."
        ForwardToNobody "forward-to-nobody" "Commands of a follower's clients arrive at a node that does not lead."
        ProposalsAtLimit "proposals-at-limit" "A leader has as many entries proposed and not committed as its limit allows."
        TimeWentBack "time-went-back" "An entry bears an earlier time than the one before it."
    }
    Commit "commit" {
        LeadersDiskLast "leaders-disk-last" "An entry is committed before it is durable on the leader's own disk."
        BareMajority "commit-by-bare-majority" "An entry is executed while it is durable on no more nodes than a majority."
        CommitWithOneDown "commit-with-one-down" "Something is committed while a node is down."
        CommitWithTwoDown "commit-with-two-down" "Something is committed while two nodes are down."
        CommitInBulk "commit-in-bulk" "A node executes eight entries or more in one step."
        OlderEpochCommitted "older-epoch-committed" "Entries that an older epoch left uncommitted are committed with the opening of a new one."
        OlderEpochLost "older-epoch-lost" "A leader is established whose log lacks entries of an older epoch that another node holds durably."
        DeposedWithProposals "deposed-with-proposals" "A leader steps down with proposals that it has not seen committed."
        LeaderCrashedWithProposals "leader-crashed-with-proposals" "A leader ends with proposals that it has not seen committed."
        UnseenCommitSurvives "unseen-commit-survives" "A leader ends with proposals it has not seen committed, and they are executed in a later epoch."
    }
    Epochs "epochs" {
        EpochRolling "epoch-rolling" "A leader whose counter is about to wrap asks for promises of the next epoch."
        EpochRolled "epoch-rolled" "A leader opens a new epoch without an election."
        EpochRolledTwice "epoch-rolled-twice" "A leader opens two epochs in one stay without an election."
        RollGivenUp "roll-given-up" "A leader loses the lead, or its process, while it opens a new epoch."
        RequestDuringRoll "request-during-roll" "A command arrives while the leader opens a new epoch."
        SyncDuringRoll "barrier-during-roll" "Proof of the lead is asked for while the leader opens a new epoch."
        ExpiryDuringRoll "expiry-during-roll" "An epoch is opened without an election while the end of a session is on its way."
        RollWhileSyncing "roll-while-syncing" "An epoch is opened without an election while a follower is being brought up to date."
        RollWithUncommitted "roll-with-uncommitted" "An epoch is opened without an election while entries of the old one are uncommitted."
    }
    Disk "disk and recovery" {
        CrashLostWrites "crash-lost-writes" "A crash loses writes that were not synced."
        CrashKeptUntold "crash-kept-untold-writes" "A crash leaves writes on the disk of which the process was never told that they were durable."
        CrashTornStep "crash-tore-a-step" "A crash keeps one write of a step and loses a later one of the same step."
        CrashInStepWithSend "crash-in-step-with-send" "A process ends in the middle of a step that both writes and sends."
        CrashPromiseUnsynced "crash-promise-unsynced" "A crash loses a promise that was on its way to the disk."
        CrashTruncateUnsynced "crash-truncate-unsynced" "A crash loses a cut of the log that was on its way to the disk."
        CrashChunkUnsynced "crash-snapshot-unsynced" "A crash loses pieces of a snapshot that were on their way to the disk."
        CrashDuringSnapshot "crash-during-snapshot" "A node ends while a snapshot of its own is in the making."
        CrashBeforeInSync "crash-before-in-sync" "A process that was started again ends before it has served."
        LeaderCrashed "leader-crashed" "An established leader ends without having been asked to."
        CandidateCrashed "candidate-crashed" "A candidate ends."
        TwoDown "two-down" "Two nodes are down at once."
        MajorityDown "majority-down" "So many nodes are down that no quorum is left."
        AllDown "all-down" "All nodes of an ensemble of several are down."
        BootTornTail "boot-torn-tail" "A node starts from a log whose end was torn."
        BootLogOnly "boot-log-only" "A node starts from entries without a snapshot."
        BootSnapshotOnly "boot-snapshot-only" "A node starts from a snapshot without entries after it."
        BootSnapshotAndLog "boot-snapshot-and-log" "A node starts from a snapshot and the entries after it."
        BootOlderSnapshot "boot-older-snapshot" "A node starts from an older snapshot, since a newer one is not whole."
        BootTornSnapshot "boot-unfinished-snapshot" "A node finds a snapshot that was never finished."
        BootVoidLog "boot-void-log" "A node finds a snapshot that its log does not reach to, and begins its log anew."
        BootBegunSegment "boot-begun-segment" "A node finds a segment of the log that was only just begun, or serves nothing."
        BootPurgedLog "boot-purged-log" "A node starts from a log whose oldest segments were purged."
        BootManySegments "boot-many-segments" "A node starts from five segments of the log or more."
        BootUncommittedTail "boot-uncommitted-tail" "A node starts with entries that nobody has executed."
        BootBehind "boot-behind" "A node starts without entries that others have executed."
        BootPromisedOnly "boot-promise-of-no-entries" "A node starts with the promise of an epoch of which it has no entry."
        SnapshotDurable "snapshot-durable" "A snapshot of a node's own is durable."
        SnapshotAbandoned "snapshot-abandoned" "A snapshot of a node's own is given up for the leader's."
        WritesDuringSnapshot "writes-during-snapshot" "Requests are executed while a snapshot is in the making."
        SessionDuringSnapshot "session-during-snapshot" "A session begins, moves or ends while a snapshot is in the making."
        MultiDuringSnapshot "multi-during-snapshot" "A multi is executed while a snapshot is in the making."
        SequentialDuringSnapshot "sequential-during-snapshot" "A sequential node is made while a snapshot is in the making."
        AclDuringSnapshot "acl-during-snapshot" "An ACL is set while a snapshot is in the making."
        BootRefusedRecord "boot-refused-record" "A node does not start, since a record of its log is damaged that was durable."
        BootRefusedHeader "boot-refused-header" "A node does not start, since a segment of its log that it needs has a damaged header."
        BootRefusedSnapshot "boot-refused-snapshot" "A node does not start, since a snapshot is damaged and the log does not reach back behind it."
        BootBesideDamage "boot-beside-damage" "A node starts from a damaged disk, of which it needs nothing that is damaged."
        BootSnapshotWentBad "boot-snapshot-went-bad" "A node starts although its newest durable snapshot is damaged: an older one, or the whole log, makes up for it."
    }
    Session "session" {
        SessionClosed "session-closed" "A session is closed by its client."
        SessionExpired "session-expired" "A session expires."
        ExpiredWhileConnected "expired-while-connected" "A session expires whose connection is still open at a server."
        ExpiredToldLate "expiry-told-at-return" "A client that comes back with the right password is told that its session is over."
        MovedToOther "moved-to-other-server" "A session is attached at another server than before."
        MovedToSame "moved-to-same-server" "A session is attached at the same server over a new connection."
        BackJustInTime "back-just-in-time" "A session is attached after more than three quarters of its timeout in silence."
        SessionOutlivesLeader "session-outlives-leader" "A session is attached in a later epoch than the one in which it began."
        ReattachAfterExpiry "reattach-behind-expiry" "A client's return is ordered behind the end of its session that is on its way."
        ExpiryAfterReattach "expiry-behind-reattach" "The end of a session is ordered behind a return that is on its way, and so does nothing."
        ExpiryDidNothing "expiry-did-nothing" "The expiry of a session that has moved meanwhile is executed and does nothing."
        ExpiryTwice "expiry-ordered-twice" "The end of a session is ordered again before it is executed."
        MovedWithRequestInFlight "moved-with-request-in-flight" "A session moves while a request of its old connection is proposed and not executed."
        RequestAfterMove "request-after-move" "A request of the old connection is ordered behind the session's move, and fails."
        RequestAfterEnd "request-after-end" "A request is ordered behind the end of its session, and fails."
        RequestOverOldConnection "request-over-old-connection" "A request arrives over a connection whose session was attached elsewhere meanwhile."
        HandshakeLost "handshake-lost" "A server stops serving while a session's beginning is on its way."
        ClientLeftInHandshake "client-left-in-handshake" "A session is attached for a client that has given up waiting."
        WrongPassword "wrong-password-refused" "A session is refused to a client with a wrong password."
        TimeoutRaised "timeout-raised" "A client asks for less than the least session timeout and is given that."
        TimeoutCut "timeout-cut" "A client asks for more than the largest session timeout and is given that."
        CloseBehindRequests "close-behind-requests" "A client closes its session with requests unanswered."
        HeardThroughFollower "heard-through-follower" "A leader learns from a follower whose clients are alive."
        HeardOfOldEpoch "heard-of-old-epoch" "A follower's report about its clients was sent in an older epoch than the leader's."
    }
    Ephemeral "ephemeral" {
        EphemeralMade "ephemeral-made" "An ephemeral node is made."
        EphemeralClosed "ephemeral-removed-by-close" "A session that has made ephemeral nodes is closed."
        EphemeralExpired "ephemeral-removed-by-expiry" "A session that has made ephemeral nodes expires."
        EphemeralsRemoved "ephemerals-removed-together" "A session that has made three ephemeral nodes or more ends."
        EphemeralMoved "ephemeral-survives-move" "A session that has made ephemeral nodes is attached anew."
        EphemeralBeforeClose "ephemeral-made-before-close" "The end of a session is ordered while an ephemeral create of its own is not executed yet."
        DeleteBeforeClose "delete-before-close" "The end of a session is ordered while a delete of its own is not executed yet."
        EphemeralParent "ephemeral-parent-refused" "A child of an ephemeral node is refused."
        EphemeralInMulti "ephemeral-in-multi" "A multi that makes an ephemeral node succeeds."
    }
    Watch "watch" {
        WatchCreated "watch-created" "A client is notified that a node was created."
        WatchDeleted "watch-deleted" "A client is notified that a node was deleted."
        WatchData "watch-data-changed" "A client is notified that a node's data has changed."
        WatchChildren "watch-children-changed" "A client is notified that a node's children have changed."
        WatchByClose "watch-fired-by-close" "A watch is fired by the end of a session whose client closed it."
        WatchByExpiry "watch-fired-by-expiry" "A watch is fired by the expiry of a session."
        WatchByMulti "watch-fired-by-multi" "A watch is fired by a multi."
        WatchesByOneEntry "watches-fired-by-one-entry" "One entry fires several watches of one connection."
        WatchByOwnWrite "watch-fired-by-own-write" "A client's own write fires its watch, before the reply."
        WatchesDropped "watches-dropped" "A connection ends that had set watches."
        RewatchDeleted "setwatches-tells-deleted" "A client that sets its watches anew is told of a deletion that it has missed."
        RewatchCreated "setwatches-tells-created" "A client that sets its watches anew is told of a creation that it has missed."
        RewatchData "setwatches-tells-data-changed" "A client that sets its watches anew is told of a change of data that it has missed."
        RewatchChildren "setwatches-tells-children-changed" "A client that sets its watches anew is told of a change of children that it has missed."
        RewatchQuiet "setwatches-tells-nothing" "A client sets its watches anew and has missed nothing."
        RewatchBehind "setwatches-at-a-server-behind" "A client sets its watches anew at a server that has yet to execute what others have."
    }
    Multi "multi" {
        MultiDone "multi-done" "A multi of several operations succeeds."
        MultiEmpty "multi-empty" "A multi without operations succeeds."
        MultiFailedFirst "multi-failed-at-first" "The first operation of a multi fails."
        MultiFailedLater "multi-failed-later" "A later operation of a multi fails, after others that could have been done."
        MultiFailedVersion "multi-failed-version" "A multi fails because of a version."
        MultiSameNode "multi-same-node-twice" "A multi that names one node twice succeeds."
        MultiSequential "multi-sequential" "A multi that makes a sequential node succeeds."
        MultiAfterOutstanding "multi-behind-outstanding" "A multi is proposed while earlier requests are not executed yet."
    }
    Sequential "sequential" {
        SequentialMade "sequential-made" "A sequential node is made."
        SequentialAfterDelete "sequential-after-delete" "A sequential node is made where one was deleted before."
        SequentialOutstanding "sequential-outstanding" "Two sequential creates are proposed and not executed."
        SequentialNameless "sequential-without-a-name" "A sequential node is made whose name is its number alone."
        SequentialEphemeral "sequential-ephemeral" "An ephemeral sequential node is made."
        SequentialAfterElection "sequential-after-election" "A sequential node is made in a later epoch than one before it in the same place."
        ConditionalOutstanding "conditional-outstanding" "Two writes with a version are proposed and not executed."
    }
    Acl "acl" {
        AclSet "acl-set" "An ACL is set."
        AclRefused "acl-refused-write" "A write is refused by an ACL."
        AclRefusedRead "acl-refused-read" "A read is refused by an ACL."
        AclHidden "acl-hash-hidden" "The hash in an ACL is hidden from a client without the right to see it."
        AclVersion "acl-version-refused" "An ACL is not set because of its version."
        AuthDone "auth-done" "A client proves an identity."
        AuthAgain "auth-after-reconnect" "A client proves its identity anew over a new connection."
        AuthFailed "auth-failed" "A client cannot prove an identity and is sent away."
        SuperProven "super-proven" "A client proves to be the superuser."
        SuperWrote "super-wrote" "A write of the superuser succeeds."
    }
    Read "read" {
        ReadBehind "read-while-behind" "A read is served by a server that has yet to execute what others have."
        ReadByDeposed "read-by-deposed-leader" "A read is served by a leader after another was established."
        ReadBehindWrite "read-behind-own-write" "A read waits behind a write of its own connection."
        WriteBehindSync "write-behind-sync" "A write waits behind a sync of its own connection."
        SyncAtLeader "sync-at-leader" "A sync is answered by the leader."
        SyncAtFollower "sync-at-follower" "A sync is answered by a follower."
        SyncWaitedForCommits "sync-waited-for-commits" "The proof that a sync waits for covers entries that are not executed yet."
        SyncLostWithLeader "sync-lost-with-leader" "A connection ends with a sync unanswered because its server stops serving."
        SyncAtDeposed "sync-at-deposed-leader" "A sync arrives at a leader after another was established."
        BarrierRepeated "barrier-repeated" "A follower asks again for proof of the lead."
        BarrierLate "barrier-answered-late" "Proof of the lead arrives at a node that does not wait for it any more."
        ClientAheadRefused "client-ahead-refused" "A client that has seen more than the server is sent away."
    }
    Client "client" {
        NoNode "error-no-node" "A client is told that there is no such node."
        NodeExists "error-node-exists" "A client is told that the node exists."
        NotEmpty "error-not-empty" "A client is told that the node has children."
        BadVersion "error-bad-version" "A client is told that the version is another."
        BadArguments "error-bad-arguments" "A client is told that its arguments are wrong."
        InvalidAcl "error-invalid-acl" "A client is told that its ACL is invalid."
        MalformedRead "error-malformed-read" "A read that cannot be decoded is answered, and the connection stays."
        MalformedWrite "error-malformed-write" "A write that cannot be decoded is answered in its place in the order."
        UnknownOp "error-unknown-op" "An unknown operation is answered, and the connection ends."
        LeftWithRequests "left-with-requests" "A client leaves a connection with requests unanswered."
        BackWithRequests "back-after-leaving-requests" "A client comes back to its session after it left requests unanswered."
        DroppedWithRequests "dropped-with-requests" "A server stops serving and drops a connection with requests unanswered."
        RefusedNotServing "refused-not-serving" "A client is sent away by a server that does not serve."
        GoneWithWrites "gone-with-writes" "A server learns that a client has gone whose writes are on their way."
        RepliesForNobody "reply-for-nobody" "A server answers a client that listens no more."
        Pipelined "four-requests-in-flight" "Four requests of one connection are unanswered at its server."
        PipelinedCut "pipeline-cut-by-crash" "A server ends with several requests of one connection unanswered."
        CutByCrash "connection-cut-by-crash" "A server ends with clients connected."
        OldClient "old-client" "A client does not know the read-only flag."
        NoPassword "hello-without-password" "A client's first packet has no password."
        ClientSilent "client-given-up-on-server" "A client gives its server up because it is silent."
    }
    Network "network" {
        ProposeLost "lost-propose" "A proposal is lost."
        AckLost "lost-ack" "An acknowledgement is lost."
        PromiseLost "lost-promise" "A promise of an epoch is lost."
        NewEpochLost "lost-new-epoch" "A candidate's request for a promise is lost."
        CommitLost "lost-commit" "A commit is lost."
        TruncateLost "lost-truncate" "An order to cut is lost."
        PositionLost "lost-position" "A follower's word of where its log ends is lost."
        ChunkLost "lost-chunk" "A piece of a state is lost."
        ForwardLost "lost-forward" "Commands of a follower's clients are lost."
        BarrierPassedLost "lost-barrier-answer" "Proof of the lead is lost."
        HeardLost "lost-heard" "A report of whose clients are alive is lost."
        HandOverLost "lost-hand-over" "A hand-over is lost."
        ProposeDoubled "doubled-propose" "A proposal is delivered twice."
        AckDoubled "doubled-ack" "An acknowledgement is delivered twice."
        PromiseDoubled "doubled-promise" "A promise of an epoch is delivered twice."
        NewEpochDoubled "doubled-new-epoch" "A candidate's request for a promise is delivered twice."
        CommitDoubled "doubled-commit" "A commit is delivered twice."
        TruncateDoubled "doubled-truncate" "An order to cut is delivered twice."
        PositionDoubled "doubled-position" "A follower's word of where its log ends is delivered twice."
        ChunkDoubled "doubled-chunk" "A piece of a state is delivered twice."
        ForwardDoubled "doubled-forward" "Commands of a follower's clients are delivered twice."
        BarrierPassedDoubled "doubled-barrier-answer" "Proof of the lead is delivered twice."
        HeardDoubled "doubled-heard" "A report of whose clients are alive is delivered twice."
        HandOverDoubled "doubled-hand-over" "A hand-over is delivered twice."
    }
    Faults "faults" {
        LeaderPaused "leader-paused" "An established leader stands still."
        PausedLong "paused-beyond-silence" "A process stands still for longer than the silence after which it is given up."
        LeaderIsolated "leader-isolated" "An established leader neither hears nor is heard."
        LeaderDeaf "leader-deaf" "An established leader is heard and hears nobody."
        PartitionBoth "partition-symmetric" "A partition cuts both directions."
        PartitionOneWay "partition-one-way" "A partition cuts one direction."
        PartitionsOverlap "partitions-overlap" "A partition begins while another lasts."
        CrashDuringPartition "crash-during-partition" "A process ends while a partition lasts."
        PowerOfAll "power-of-all" "The power of all nodes goes at once."
        CrashSilently "crash-silent" "A machine loses its power, and nobody is told."
        WallForward "wall-clock-forward" "A wall clock jumps forward."
        WallBack "wall-clock-back" "A wall clock jumps back."
        WallOfLeader "wall-clock-of-leader" "The wall clock of an established leader jumps."
        SlowDisk "slow-disk" "The disk of a node becomes slow."
        SlowDiskOfLeader "slow-disk-of-leader" "The disk of an established leader becomes slow."
        Retire "asked-to-end" "A node is asked to end."
        RetireLeader "leader-asked-to-end" "An established leader is asked to end."
        Disconnect "disconnected" "The transport between two nodes breaks for a moment."
        CrashTogether "crash-together" "Several processes end at once."
        PartitionPartial "partition-partial" "Some links carry nothing, and no side is whole."
        PartitionFlapping "partition-flapping" "A partition comes and goes."
        PartitionStaggered "partition-staggered" "Servers are cut off one after the other."
        SlowLink "slow-link" "The messages of a link take longer."
        MonoJump "clock-leap" "A node's monotonic clock leaps ahead."
        MonoOfLeader "clock-leap-of-leader" "The monotonic clock of an established leader leaps ahead."
        DiskWiped "disk-wiped" "A node's disk is replaced by an empty one."
        DiskRot "disk-rot" "Bytes of a node's disk change, or are another's."
        SyncFailed "sync-failed" "A sync of a node's disk fails."
        DiskFull "disk-full" "A node's disk is full."
        CrashInBoot "crash-in-boot" "A process ends while it starts."
        FaultInElection "fault-without-leader" "A fault comes while no leader is established."
    }
    Limits "limits" {
        EnsembleOfOne "ensemble-of-one" "An ensemble of one serves."
        EnsembleOfTwo "ensemble-of-two" "An ensemble of two serves."
        EnsembleOfFive "ensemble-of-five" "An ensemble of five serves."
        LargeEntry "large-entry" "An entry carries a kilobyte or more."
        ManySessions "many-sessions" "Ten sessions begin in one run."
        ManyEpochs "many-epochs" "Ten epochs are led in one run."
        SnapshotOfManyChunks "snapshot-of-many-chunks" "A node's own snapshot takes eight pieces or more."
        SnapshotsInARow "snapshots-in-a-row" "A process makes three snapshots of its own."
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Mark {
    /// The mark of that name.
    pub fn by_name(name: &str) -> Option<Mark> {
        Mark::ALL.iter().copied().find(|mark| mark.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_mark_has_a_name_of_its_own_and_says_what_it_means() {
        let names: BTreeSet<_> = Mark::ALL.iter().map(|mark| mark.name()).collect();
        let meanings: BTreeSet<_> = Mark::ALL.iter().map(|mark| mark.meaning()).collect();
        assert_eq!((names.len(), meanings.len()), (Mark::COUNT, Mark::COUNT));
        for (place, mark) in Mark::ALL.iter().enumerate() {
            assert_eq!(*mark as usize, place);
            let name = mark.name();
            assert!(name.len() <= 40, "{name} does not fit a table");
            assert!(
                name.chars().all(|c| c.is_ascii_lowercase() || c == '-')
                    && name.contains(char::is_alphabetic),
                "{name} is not in lower case and dashes"
            );
            assert!(mark.meaning().ends_with('.'), "{name}: {}", mark.meaning());
            assert_eq!(Mark::by_name(name), Some(*mark));
        }
        assert_eq!(Mark::by_name("no-such-mark"), None);
    }

    #[test]
    fn marks_stand_with_their_group() {
        assert!(Mark::ALL.is_sorted_by_key(|mark| mark.group()));
        for group in Group::ALL {
            assert!(Mark::ALL.iter().any(|mark| mark.group() == *group), "{group:?} is empty");
        }
    }
}
