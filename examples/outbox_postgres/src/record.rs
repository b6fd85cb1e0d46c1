//! A message as a row, and a row as a message.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::types::{Json, Uuid};
use sqlx::{Row as _, query, query_scalar};
use std::collections::BTreeMap;
use std::time::Duration;
use winddown::messaging::{Message, MessageId, Properties};

/// Puts a message into the outbox in a transaction of your own, so that it is sent if and only if that commits. Gives its row.
///
/// ```no_run
/// # async fn order(pool: sqlx::PgPool, outbox: winddown::messaging::Outbox) -> sqlx::Result<()> {
/// use winddown::messaging::Message;
///
/// let mut tx = pool.begin().await?;
/// sqlx::query("INSERT INTO orders (item) VALUES ('two pumps')").execute(&mut *tx).await?;
/// outbox_postgres::insert(&mut tx, &Message::new("orders", "two pumps")).await?;
/// tx.commit().await?;         // both, or neither
/// outbox.wake();              // sent at once; without it, within a second
/// # Ok(()) }
/// ```
///
/// # Errors
/// Those of Postgres; the transaction is then over, as after any error in it.
pub async fn insert(db: &mut PgConnection, message: &Message) -> sqlx::Result<i64> {
    let properties: BTreeMap<&str, &str> = message.properties().collect();
    query_scalar(
        "INSERT INTO winddown_outbox (id, topic, tag, key, ordered, properties, delay_ms, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING seq",
    )
    .bind(uuid(message.id()))
    .bind(message.topic())
    .bind(message.tag())
    .bind(message.key())
    .bind(message.is_ordered())
    .bind((!properties.is_empty()).then_some(Json(properties)))
    .bind(message.delay().map(millis))
    .bind(message.body().as_ref())
    .fetch_one(db)
    .await
}

pub(crate) fn uuid(id: MessageId) -> Uuid {
    Uuid::from_u128(id.as_u128())
}

pub(crate) fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

/// The message in a row, or what is wrong with it. Types and checks leave only the properties to doubt.
pub(crate) fn read(row: &PgRow) -> sqlx::Result<Result<Message, String>> {
    let topic: String = row.try_get("topic")?;
    let body: Vec<u8> = row.try_get("body")?;
    let mut message = Message::new(topic, body).with_id(MessageId::from_u128(row.try_get::<Uuid, _>("id")?.as_u128()));
    if let Some(tag) = row.try_get::<Option<String>, _>("tag")? {
        message = message.with_tag(tag);
    }
    if let Some(key) = row.try_get::<Option<String>, _>("key")? {
        message = if row.try_get("ordered")? { message.with_ordered_key(key) } else { message.with_key(key) };
    }
    let delay = row.try_get::<Option<i64>, _>("delay_ms")?.unwrap_or(0);
    message = message.with_delay(Duration::from_millis(u64::try_from(delay).unwrap_or(0)));
    let Some(Json(properties)) = row.try_get::<Option<Json<serde_json::Value>>, _>("properties")? else { return Ok(Ok(message)) };
    Ok(match serde_json::from_value::<Properties>(properties) {
        Ok(properties) => Ok(message.with_properties(properties)),
        Err(error) => Err(format!("properties is no JSON object of texts: {error}")),
    })
}

/// Runs `schema.sql`, statement by statement.
pub(crate) async fn create(db: &mut PgConnection) -> sqlx::Result<()> {
    for statement in include_str!("schema.sql").split_inclusive(";\n") {
        if statement.contains("CREATE") {
            query(statement).execute(&mut *db).await?;
        }
    }
    Ok(())
}
