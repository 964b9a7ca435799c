//! Documents of any content agree with slow and simple ones.

use proptest::prelude::*;
use recsys_core::artifact::user_lists::UserItems;
use recsys_core::artifact::{ArtifactKey, Draft, ItemCount, Payload, version};
use recsys_core::encoding::hash::sha256;
use recsys_testkit::seed::cases;

use super::common::{key_for, payload, text};
use super::json::{Json, decimal, finished, scored};

fn naive_content(payload: &Payload<'_>) -> Json {
    let counts = |items: &[ItemCount<'_>]| {
        let items: Vec<_> = items.iter().map(|item| (item.item_id.to_string(), item.count)).collect();
        scored(&items, "count", |count| Json::Whole(*count))
    };
    let user = |row: &UserItems<'_>| {
        let items: Vec<_> = row.items.iter().map(|item| (item.item_id.to_string(), item.score)).collect();
        let items = scored(&items, "score", |score| Json::Number(*score));
        Json::object([("user_id", Json::text(&row.user_id)), ("items", items)])
    };
    match payload {
        Payload::Popularity(payload) => counts(payload),
        Payload::Cooc(payload) => {
            let row = payload.iter().map(|row| {
                Json::object([("item_id", Json::text(&row.item_id)), ("items", counts(&row.items))])
            });
            Json::List(row.collect())
        }
        Payload::Implicit(payload) | Payload::SessionSeq(payload) => {
            Json::List(payload.iter().map(user).collect())
        }
        Payload::ContentSim(payload) => {
            let item = payload.iter().map(|item| {
                let tags = item.tags.iter().map(Json::text).collect();
                Json::object([("item_id", Json::text(&item.item_id)), ("tags", Json::List(tags))])
            });
            Json::List(item.collect())
        }
    }
}

fn keyed_payload() -> impl Strategy<Value = (ArtifactKey, Payload<'static>)> {
    payload().prop_flat_map(|payload| (key_for(&payload), Just(payload)))
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn documents_agree((key, payload) in keyed_payload(), built_at in text()) {
        let source_hash = sha256(built_at.as_bytes());
        let encoded = Draft::new(&key, &payload).finish(&built_at, &source_hash);
        let (naive_version, naive_text) = finished(&key, &naive_content(&payload), &built_at, &source_hash);
        prop_assert_eq!(std::str::from_utf8(&encoded.bytes).unwrap(), naive_text);
        prop_assert_eq!(&encoded.descriptor.build.version, &naive_version);
        prop_assert_eq!(version(&key, &payload), naive_version);
    }
}

/// Of two shortest decimals that read back the same and are equally near, others print the even one: Ryu,
/// Python, JavaScript, Go. A consumer that recomputes the version prints it so, too.
#[test]
fn a_score_halfway_between_two_decimals_prints_as_everywhere_else() {
    for (score, text) in [
        (1.0 + 1.0 / 131_072.0, "1.0000076293945312"),
        (981_405_774_141_567.0 + 0.25, "981405774141567.2"),
        (981_405_774_141_567.0 + 0.75, "981405774141567.8"),
    ] {
        assert_eq!(text.parse(), Ok(score));
        assert_eq!(serde_json::to_string(&score).unwrap(), text);
        assert_eq!(decimal(score), text);
        assert_eq!(String::from_utf8(recsys_core::encoding::json::to_vec(&score)).unwrap(), text);
    }
}
