//! Notices to devices: sent until they are taken, by one sender at a time.

use crate::server::{Trouble, later};
use crate::world::{Stalled, World, all_the_way, imsi, request};
use boss::{self, Kind, State};
use database::place::{Place, on_each_database};
use network_base::BoxFuture;
use network_base::sender::{Message, Receiver, SmsError, SmsSender};
use sqlx::Row;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

on_each_database! {
    a_notice_is_sent_until_it_is_taken,
    a_notice_whose_sender_stalls_is_sent_by_another,
    a_notice_that_ends_its_sender_is_given_up,
}

async fn a_notice_is_sent_until_it_is_taken(place: &Place) {
    let world = World::new(place).await;
    let boss = world.boss(World::settings());
    all_the_way(&boss, &request(Kind::Transfer), 100).await;
    world.sent.out_of_order.store(true, Ordering::Relaxed);
    assert_eq!(boss.advance(101).await.unwrap(), 1);
    assert_eq!(boss.advance(102).await.unwrap(), 0, "not at once again");
    assert_eq!(boss.advance(200).await.unwrap(), 1);
    world.sent.out_of_order.store(false, Ordering::Relaxed);
    assert_eq!(boss.advance(300).await.unwrap(), 1);
    assert_eq!(boss.advance(100_000).await.unwrap(), 0);
    assert_eq!(world.sent.messages.lock().unwrap().len(), 1);
}

/// What the one that stalled has to say in the end changes nothing.
async fn a_notice_whose_sender_stalls_is_sent_by_another(place: &Place) {
    let world = World::new(place).await;
    let boss = world.boss(World::settings());
    all_the_way(&boss, &request(Kind::Transfer), 100).await;
    let stalled = Arc::new(Stalled::default());
    let slow = world.boss(World::settings()).with_sender(Arc::clone(&stalled) as Arc<dyn SmsSender>);
    let sending = tokio::spawn(async move { slow.send_notices(101).await });
    stalled.asked.notified().await;
    assert_eq!(boss.send_notices(105).await.unwrap(), 0, "it is being sent");
    assert_eq!(boss.send_notices(4000).await.unwrap(), 1, "its lease ran out");
    stalled.answer.notify_one();
    assert_eq!(sending.await.unwrap().unwrap(), 1);
    assert_eq!(boss.send_notices(100_000).await.unwrap(), 0);
    assert_eq!(world.sent.messages.lock().unwrap().len(), 1);
    let row = sqlx::query("SELECT sent_at, error, claim, attempts FROM boss_notice");
    let row = row.fetch_one(world.database.pool()).await.unwrap();
    let (sent_at, error): (Option<i64>, Option<String>) = (row.get(0), row.get(1));
    assert!(sent_at.is_some_and(|at| (4000..100_000).contains(&at)) && error.is_none(), "{sent_at:?} {error:?}");
    assert_eq!((row.get::<Option<String>, _>(2), row.get::<i64, _>(3)), (None, 2));
}

/// Attempts that come to no end count.
async fn a_notice_that_ends_its_sender_is_given_up(place: &Place) {
    let world = World::new(place).await;
    let boss = world.boss(World::settings());
    all_the_way(&boss, &request(Kind::Transfer), 100).await;
    let all_but_one = "UPDATE boss_notice SET attempts = 999";
    sqlx::query(all_but_one).execute(world.database.pool()).await.unwrap();
    let stalled = Arc::new(Stalled::default());
    let dies = world.boss(World::settings()).with_sender(Arc::clone(&stalled) as Arc<dyn SmsSender>);
    let sending = tokio::spawn(async move { dies.send_notices(101).await });
    stalled.asked.notified().await;
    sending.abort();
    assert!(sending.await.unwrap_err().is_cancelled());
    assert_eq!(boss.send_notices(4000).await.unwrap(), 1);
    assert_eq!(boss.send_notices(100_000).await.unwrap(), 0, "it is not due any more");
    assert!(world.sent.messages.lock().unwrap().is_empty());
}

/// A service centre that takes twenty seconds for a message, and has taken every other one.
#[derive(Default)]
struct Slow(AtomicBool);

impl SmsSender for Slow {
    fn send<'a>(&'a self, _: Receiver<'a>, _: Message<'a>) -> BoxFuture<'a, Result<(), SmsError>> {
        Box::pin(async {
            later(20).await;
            let taken = self.0.fetch_xor(true, Ordering::Relaxed);
            if taken { Ok(()) } else { Err(SmsError::Unavailable("out of order".into())) }
        })
    }
}

/// Pauses begin when a call has failed, not when the round began in which it was made.
#[tokio::test]
async fn what_calls_take_of_the_time_counts() {
    let place = Place::sqlite();
    let world = World::new(&place).await;
    let boss = world.boss(World::settings());
    world.server.trouble("DownloadOrder", Trouble::UnavailableAfter(20));
    let order = boss.request(&request(Kind::Companion), 100).await.unwrap();
    assert_eq!(order.state, State::Requested);
    assert_eq!(boss.advance_orders(115).await.unwrap(), 0, "it failed at 120");
    assert_eq!(boss.advance_orders(200).await.unwrap(), 1);
    for id in ["one", "other"] {
        let sql = "INSERT INTO boss_notice (id, imsi, application, created_at, attempts, due) VALUES ($1, $2, 'ap2009', 1, 0, 1)";
        let insert = sqlx::query(sql).bind(id).bind(imsi(1).to_string());
        insert.execute(world.database.pool()).await.unwrap();
    }
    let boss = boss.with_sender(Arc::new(Slow::default()));
    assert_eq!(boss.send_notices(300).await.unwrap(), 2);
    let row =
        sqlx::query("SELECT MAX(due), MAX(sent_at) FROM boss_notice").fetch_one(world.database.pool()).await.unwrap();
    let (due, sent_at): (i64, i64) = (row.get(0), row.get(1));
    assert!(due >= 325 && sent_at >= 340, "again at {due}, sent at {sent_at}");
}
