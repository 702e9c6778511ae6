//! Many clients at once, with requests and executions interleaved by chance. Each client writes its own node only, so
//! it can say exactly what each of its reads has to show: its writes before it, all of them and no others.

use std::collections::VecDeque;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use vivarium_core::api::{EventKind, Op};
use vivarium_core::ids::SessionId;

use crate::world::{Client, Said, World, create, data_of, get, hello, set, sync, watch};

/// What a client expects to hear next.
#[derive(PartialEq, Eq, Debug)]
enum Expected {
    Connected,
    Answer { xid: i32 },
    Data { xid: i32, version: i32 },
    Event { version: i32 },
}

struct Model {
    client: Client,
    path: String,
    xid: i32,
    version: i32,
    watched: bool,
    expected: VecDeque<Expected>,
    zxid: i64,
    reads: usize,
}

impl Model {
    fn act(&mut self, world: &mut World, choice: u64) {
        self.xid += 1;
        let xid = self.xid;
        let op = match choice {
            0..4 => {
                self.version += 1;
                if self.watched {
                    self.watched = false;
                    self.expected.push_back(Expected::Event { version: self.version });
                }
                self.expected.push_back(Expected::Answer { xid });
                set(&self.path, &self.version.to_string())
            }
            4..8 => {
                self.expected.push_back(Expected::Data { xid, version: self.version });
                get(&self.path)
            }
            8 => {
                self.watched = true;
                self.expected.push_back(Expected::Data { xid, version: self.version });
                watch(&self.path)
            }
            9 => {
                self.expected.push_back(Expected::Answer { xid: -2 });
                Op::Ping
            }
            _ => {
                self.expected.push_back(Expected::Answer { xid });
                sync()
            }
        };
        world.ask(self.client, xid, op);
    }

    fn check(&mut self, world: &mut World) {
        for said in world.hear(self.client) {
            let expected = self.expected.pop_front().expect("nothing comes unasked");
            match (&said, &expected) {
                (Said::Connected(_), Expected::Connected) => continue,
                (Said::Event(EventKind::NodeDataChanged, path, zxid), Expected::Event { .. }) => {
                    assert_eq!(path, &self.path);
                    assert!(*zxid > self.zxid);
                    continue;
                }
                (Said::Reply(reply), Expected::Answer { xid }) => {
                    assert_eq!(reply.xid, *xid);
                    assert!(reply.result.is_ok(), "{reply:?}");
                }
                (Said::Reply(reply), Expected::Data { xid, version }) => {
                    assert_eq!(reply.xid, *xid);
                    assert_eq!(data_of(reply), Ok((version.to_string(), *version)));
                    self.reads += 1;
                }
                _ => panic!("{said:?} came instead of {expected:?}"),
            }
            let Said::Reply(reply) = said else { unreachable!() };
            assert!(reply.zxid >= self.zxid, "zxids never go back");
            self.zxid = reply.zxid;
        }
    }
}

#[test]
fn each_client_sees_its_own_requests_in_its_own_order() {
    let mut reads = 0;
    for seed in 0..200 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut world = World::new(2);
        let mut models: Vec<Model> = (0..4)
            .map(|index| {
                let client = world.open(index % 2, hello(SessionId(0), None));
                let path = format!("/own-{index}");
                world.ask(client, 0, create(&path));
                let expected = [Expected::Connected, Expected::Answer { xid: 0 }].into();
                Model { client, path, xid: 0, version: 0, watched: false, expected, zxid: 0, reads: 0 }
            })
            .collect();
        for _ in 0..200 {
            let draw = rng.next_u64();
            let model = (draw >> 8) as usize % models.len();
            if draw % 3 > 0 {
                models[model].act(&mut world, (draw >> 16) % 12);
            } else {
                happen_some(&mut world, draw >> 16);
            }
            models.iter_mut().for_each(|model| model.check(&mut world));
        }
        world.settle();
        for model in &mut models {
            model.check(&mut world);
            assert!(model.expected.is_empty(), "seed {seed}: {:?} never came", model.expected);
            reads += model.reads;
        }
        assert_eq!(world.desks.iter().map(|desk| desk.outstanding()).sum::<usize>(), 0);
    }
    assert!(reads > 10_000, "only {reads} reads were checked");
}

/// One submission happens: commands of a desk in their order, barriers in any.
fn happen_some(world: &mut World, draw: u64) {
    use vivarium_core::entry::Ask;
    if world.pending.is_empty() {
        return;
    }
    let index = draw as usize % world.pending.len();
    let (desk, submission) = &world.pending[index];
    let index = match submission.ask {
        Ask::Barrier => index,
        Ask::Command(_) => {
            let earliest = world
                .pending
                .iter()
                .position(|(other, submission)| other == desk && matches!(submission.ask, Ask::Command(_)));
            earliest.expect("the drawn one is a command of this desk")
        }
    };
    world.happen(index);
}
