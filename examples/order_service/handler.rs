//! The consumer's handler: does the work on an order, and has it saved.

use crate::args::Work;
use crate::dice::Dice;
use crate::order::Order;
use crate::store::{Handled, Store};
use anyhow::bail;
use winddown::messaging::{Handler, HandlerCx, Poison};
use winddown::{Lease, async_trait};

pub(crate) struct OrderHandler {
    store: Lease<Store>,
    work: Work,
    dice: Dice,
}

/// Whether nobody can do this order: always the same of the same order, by the hash FNV-1a of its id.
fn is_hopeless(id: &str, share: f64) -> bool {
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    Dice::seeded(hash).chance(share)
}

impl OrderHandler {
    pub(crate) fn new(store: Lease<Store>, work: Work) -> OrderHandler {
        OrderHandler { store, work, dice: Dice::seeded(Dice::fresh_seed()) }
    }
}

#[async_trait]
impl Handler for OrderHandler {
    /// An error brings the order back after a while, and at last makes it a dead letter. An order that comes again after it was
    /// saved is only counted.
    async fn handle(&self, cx: &HandlerCx) -> anyhow::Result<()> {
        let order = Order::parse(cx.message().body()).map_err(|invalid| Poison::new(format!("this is no order: {}", invalid.error)))?;
        if !self.work.delay.is_zero() {
            tokio::time::sleep(self.work.delay).await;
        }
        if is_hopeless(&order.id, self.work.poison) {
            return Err(Poison::new("nobody can do this order").into());
        }
        // Half of the failures come when the order is saved already, as they do in the world.
        let (fails, late) = (self.dice.chance(self.work.fail), self.dice.chance(0.5));
        if fails && !late {
            bail!("the work failed");
        }
        if self.store.handle(order).await? == Handled::IdTaken {
            // Trying again would not help.
            return Err(Poison::new("a different order has this `id`").into());
        }
        if fails {
            bail!("the work failed after the order was saved");
        }
        Ok(())
    }
}
