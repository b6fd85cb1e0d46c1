//! Messages of other clients, and ours as others see them: frames by hand, as the protocol has them.

use super::{Server, collect, connect, topic};
use std::io::{Read, Write};
use std::net::TcpStream;
use winddown::messaging::{Broker, ErrorKind, Message, MessageId};
use winddown::{millis, secs};

/// A request by hand: its answer's header and body.
fn ask(address: &str, code: u32, fields: serde_json::Value, body: &[u8]) -> (serde_json::Value, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(secs(5))).unwrap();
    let header = serde_json::json!({"code": code, "language": "JAVA", "version": 401, "opaque": 1, "flag": 0, "extFields": fields, "serializeTypeCurrentRPC": "JSON"});
    let header = header.to_string();
    stream.write_all(&(4 + header.len() as u32 + body.len() as u32).to_be_bytes()).unwrap();
    stream.write_all(&(header.len() as u32).to_be_bytes()).unwrap();
    stream.write_all(header.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).unwrap();
    let end = 4 + u32::from_be_bytes([0, frame[1], frame[2], frame[3]]) as usize;
    (serde_json::from_slice(&frame[4..end]).unwrap(), frame[end..].to_vec())
}

/// The broker listens beside the name server.
fn broker_address(server: &Server) -> String {
    let (host, port) = server.url().rsplit_once(':').unwrap();
    format!("{host}:{}", port.parse::<u16>().unwrap() + 10_911 - 9_876)
}

fn send(server: &Server, topic: &str, properties: &str, flags: i32, body: &[u8]) {
    let fields = serde_json::json!({
        "a": "others", "b": topic, "c": "TBW102", "d": "4", "e": "0", "f": flags.to_string(), "g": "1", "h": "0", "i": properties, "j": "0", "k": "false",
        "m": "false",
    });
    let (header, _) = ask(&broker_address(server), 310, fields, body);
    assert_eq!(header["code"], 0, "{header}");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_other_clients_are_read() {
    let server = Server::up("rocketmq");
    let broker = connect(&server).await;
    let (topic, member) = topic(&broker, "foreign").await;
    // As Java writes them: its id has the form of ours.
    let id = "7F0000010F5A18B4AAC2000000000001";
    let properties = format!("UNIQ_KEY\u{1}{id}\u{2}WAIT\u{1}true\u{2}TAGS\u{1}created\u{2}KEYS\u{1}a b\u{2}tenant\u{1}blue\u{2}");
    send(&server, &topic, &properties, 0, "größe".as_bytes());
    let came = collect(&member, 1).await.remove(0).into_message();
    assert_eq!((came.id().to_string().as_str(), came.tag(), came.key(), came.property("tenant")), (id, Some("created"), Some("a b"), Some("blue")));
    assert_eq!(came.properties().count(), 1, "{came:?}");
    // Without any id: the broker gives it one, and it keeps that when it comes again.
    send(&server, &topic, "", 0, b"bare");
    let first = member.pull(1, secs(5)).await.unwrap().remove(0);
    member.nack(&[first.receipt().clone()], millis(0)).await.unwrap();
    let again = collect(&member, 1).await.remove(0);
    assert_eq!((first.message().id(), first.attempt(), again.attempt()), (again.message().id(), 1, 2));
    // With an id of another form.
    send(&server, &topic, "UNIQ_KEY\u{1}mine-17\u{2}__SHARDINGKEY\u{1}k\u{2}", 0, b"other");
    let other = collect(&member, 1).await.remove(0).into_message();
    assert_eq!((other.id(), other.key(), other.is_ordered()), (MessageId::of(b"mine-17"), Some("k"), true));
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_unpacked_is_said_and_holds_nobody_up() {
    let server = Server::up("rocketmq");
    let broker = connect(&server).await;
    let (topic, member) = topic(&broker, "packed").await;
    send(&server, &topic, "UNIQ_KEY\u{1}zipped\u{2}", 1 | 2 << 8, b"no zstd");
    let error = member.pull(1, secs(5)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.text().contains("zstd") && error.text().contains("zipped"), "{error}");
    broker.send(&Message::new(topic.clone(), "readable"), None).await.unwrap();
    assert_eq!(collect(&member, 1).await[0].message().body().as_ref(), b"readable");
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn others_find_our_id_tag_keys_and_properties_in_their_places() {
    let server = Server::up("rocketmq");
    let broker = connect(&server).await;
    let (topic, _member) = topic(&broker, "seen").await;
    let message = Message::new(topic.clone(), "body").with_tag("created").with_ordered_key("order-17").with_property("tenant", "blue");
    let sent = broker.send(&message, None).await.unwrap();
    // A view of the message by the broker's own id.
    let offset = u64::from_str_radix(&sent.broker_id.unwrap()[16..], 16).unwrap();
    let (header, body) = ask(&broker_address(&server), 33, serde_json::json!({"offset": offset.to_string()}), b"");
    assert_eq!(header["code"], 0, "{header}");
    let stored = String::from_utf8_lossy(&body).into_owned();
    for (name, value) in [
        ("UNIQ_KEY", message.id().to_string().as_str()),
        ("TAGS", "created"),
        ("KEYS", "order-17"),
        ("__SHARDINGKEY", "order-17"),
        ("tenant", "blue"),
    ] {
        assert!(
            stored.contains(&format!("{name}\u{1}{value}\u{2}")) || stored.contains(&format!("{name}\u{1}{value}")),
            "{name} is not in {stored:?}"
        );
    }
    broker.close().await.unwrap();
}
