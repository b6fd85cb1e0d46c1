//! Every statement finds its rows by an index.

use super::*;

/// The statements of the store and the inspection, read from the source: a new one is judged too.
fn statements() -> Vec<String> {
    let sources = [
        include_str!("../store/mod.rs"),
        include_str!("../store/send.rs"),
        include_str!("../store/take.rs"),
        include_str!("../store/settle.rs"),
        include_str!("../store/heal.rs"),
        include_str!("../store/count.rs"),
        include_str!("../inspect.rs"),
    ];
    let good = "seq = ?1 AND grp = ?2 AND state = 1 AND lease = ?3 AND due > ?4 AND due <= ?4 + span + 2000";
    let mut found = Vec::new();
    for source in sources {
        for text in source.split('"').skip(1).step_by(2) {
            if ["SELECT ", "UPDATE ", "DELETE ", "INSERT "].iter().any(|verb| text.starts_with(verb)) {
                found.push(text.replace("{GOOD}", good).replace("{COLUMNS}", super::super::store::COLUMNS));
            }
        }
    }
    found
}

#[tokio::test]
async fn no_statement_reads_a_table_from_end_to_end() {
    let scratch = Scratch::new();
    let broker = SqliteBroker::open(scratch.file()).unwrap();
    let all = statements();
    assert!(all.len() > 30, "{} statements", all.len());
    let plans = within(&broker, move |store| {
        let mut plans = Vec::new();
        for sql in &all {
            let mut explain = store.conn().prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
            for at in 1..=explain.parameter_count() {
                explain.raw_bind_parameter(at, 1)?;
            }
            let mut rows = explain.raw_query();
            while let Some(row) = rows.next()? {
                plans.push((sql.clone(), row.get::<_, String>(3)?));
            }
        }
        Ok(plans)
    })
    .await;
    // Tables of a row for each topic or group, and none for each message.
    let small = ["broker_clock", "broker_topics", "broker_groups", "sqlite_sequence"];
    for (sql, plan) in plans {
        let scans = plan.starts_with("SCAN") && !small.iter().any(|table| plan.contains(table)) && plan != "SCAN CONSTANT ROW";
        // Aliases: g and t of the list of groups.
        let scans = scans && !sql.contains("FROM broker_groups g JOIN broker_topics t");
        assert!(!scans && !plan.contains("USE TEMP B-TREE"), "{plan}: {sql}");
    }
    broker.close().await.unwrap();
}

#[tokio::test]
async fn the_ready_rows_of_a_group_are_found_in_order() {
    let scratch = Scratch::new();
    let broker = SqliteBroker::open(scratch.file()).unwrap();
    let plan: String = within(&broker, |store| {
        let sql = "EXPLAIN QUERY PLAN SELECT 1 FROM broker_deliveries WHERE grp = 1 AND okey = 'k' AND state IN (0, 1)";
        store.conn().query_row(sql, [], |row| row.get(3))
    })
    .await;
    assert!(plan.contains("broker_deliveries_key (grp=? AND okey=? AND state=?)"), "{plan}");
    broker.close().await.unwrap();
}
