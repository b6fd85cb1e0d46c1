//! Phases and dependencies as one precedence relation.
//!
//! Nodes are the components, then one barrier for each boundary between two neighbouring phases. All of a phase come before the
//! barrier above it, which comes before all of the next phase: a phase of 1,000 above one of 1,000 costs 2,000 edges, not a
//! million. Barriers follow each other too, so that a phase none of whose members counts still separates its neighbours.

/// Compressed adjacency: the targets of node `n` are `targets[offsets[n]..offsets[n + 1]]`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Csr {
    offsets: Box<[u32]>,
    targets: Box<[u32]>,
}

impl Csr {
    fn new(nodes: usize, edges: &[(u32, u32)]) -> Csr {
        let mut offsets = vec![0u32; nodes + 1];
        for &(from, _) in edges {
            offsets[from as usize + 1] += 1;
        }
        for n in 0..nodes {
            offsets[n + 1] += offsets[n];
        }
        let mut next = offsets.clone();
        let mut targets = vec![0u32; edges.len()];
        for &(from, to) in edges {
            let slot = &mut next[from as usize];
            targets[*slot as usize] = to;
            *slot += 1;
        }
        Csr { offsets: offsets.into(), targets: targets.into() }
    }

    pub(crate) fn of(&self, node: u32) -> &[u32] {
        let n = node as usize;
        &self.targets[self.offsets[n] as usize..self.offsets[n + 1] as usize]
    }
}

/// The precedence relation, in both directions, with one order that respects it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    components: u32,
    /// Who must run before a node may start.
    pub(crate) before: Csr,
    /// Who must be terminal before a node is asked to stop.
    pub(crate) behind: Csr,
    /// All nodes in an order in which they could start.
    pub(crate) order: Box<[u32]>,
}

impl Graph {
    /// From phases (one a component) and `after` pairs (component, dependency). `Err` has the cycles, each as a path.
    pub(crate) fn new(phases: &[i32], after: &[(u32, u32)]) -> Result<Graph, Vec<Vec<u32>>> {
        let n = phases.len();
        let mut ladder: Vec<i32> = phases.to_vec();
        ladder.sort_unstable();
        ladder.dedup();
        let barriers = ladder.len().saturating_sub(1);
        let nodes = n + barriers;
        // (earlier, later)
        let mut edges: Vec<(u32, u32)> = Vec::with_capacity(after.len() + 2 * n + barriers);
        for (c, phase) in phases.iter().enumerate() {
            let rung = ladder.binary_search(phase).unwrap_or_default();
            if rung > 0 {
                edges.push(((n + rung - 1) as u32, c as u32));
            }
            if rung < barriers {
                edges.push((c as u32, (n + rung) as u32));
            }
        }
        edges.extend((1..barriers).map(|b| ((n + b - 1) as u32, (n + b) as u32)));
        edges.extend(after.iter().map(|&(c, dependency)| (dependency, c)));
        let behind = Csr::new(nodes, &edges);
        edges.iter_mut().for_each(|edge| *edge = (edge.1, edge.0));
        let before = Csr::new(nodes, &edges);
        let order = topological(nodes, &before, &behind);
        if order.len() < nodes {
            return Err(cycles(nodes, &before, &order));
        }
        Ok(Graph { components: n as u32, before, behind, order: order.into() })
    }

    pub(crate) fn nodes(&self) -> usize {
        self.order.len()
    }
    pub(crate) fn components(&self) -> u32 {
        self.components
    }
    pub(crate) fn is_barrier(&self, node: u32) -> bool {
        node >= self.components
    }
}

fn topological(nodes: usize, before: &Csr, behind: &Csr) -> Vec<u32> {
    let mut waiting: Vec<u32> = (0..nodes).map(|n| before.of(n as u32).len() as u32).collect();
    let mut order: Vec<u32> = (0..nodes as u32).filter(|&n| waiting[n as usize] == 0).collect();
    let mut at = 0;
    while at < order.len() {
        let node = order[at];
        at += 1;
        for &next in behind.of(node) {
            waiting[next as usize] -= 1;
            if waiting[next as usize] == 0 {
                order.push(next);
            }
        }
    }
    order
}

/// The cycles among the nodes that no order could take: from each, walk to a predecessor that is stuck too until one repeats.
fn cycles(nodes: usize, before: &Csr, order: &[u32]) -> Vec<Vec<u32>> {
    let mut done = vec![false; nodes];
    order.iter().for_each(|&n| done[n as usize] = true);
    let mut found = Vec::new();
    // 0: not visited, otherwise the number of the walk that visited it.
    let mut visited = vec![0u32; nodes];
    for (walk, first) in (1u32..).zip((0..nodes as u32).filter(|&n| !done[n as usize]).collect::<Vec<_>>()) {
        let mut path = Vec::new();
        let mut node = first;
        while visited[node as usize] == 0 {
            visited[node as usize] = walk;
            path.push(node);
            // A stuck node has a stuck predecessor, or it would not be stuck.
            let Some(&next) = before.of(node).iter().find(|&&p| !done[p as usize]) else { break };
            node = next;
        }
        if visited[node as usize] == walk
            && let Some(begin) = path.iter().position(|&p| p == node)
        {
            let mut cycle = path.split_off(begin);
            cycle.push(node);
            found.push(cycle);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o3_a_phase_is_a_barrier_without_quadratic_edges() {
        let phases: Vec<i32> = (0..3000).map(|c| c / 1000).collect();
        let graph = Graph::new(&phases, &[]).unwrap();
        assert_eq!(graph.nodes(), 3002);
        let edges: usize = (0..graph.nodes()).map(|n| graph.before.of(n as u32).len()).sum();
        assert_eq!(edges, 1000 + 2000 + 1000 + 1);
    }

    #[test]
    fn o4_a_cycle_is_found_with_its_path() {
        // 0 after 1 after 2 after 0; 3 hangs on the cycle without being in it.
        let found = Graph::new(&[0; 5], &[(0, 1), (1, 2), (2, 0), (3, 0)]).unwrap_err();
        assert_eq!(found, [vec![0, 1, 2, 0]]);
        let two = Graph::new(&[0; 4], &[(0, 1), (1, 0), (2, 3), (3, 2)]).unwrap_err();
        assert_eq!(two.len(), 2);
        assert_eq!(Graph::new(&[0], &[(0, 0)]).unwrap_err(), [vec![0, 0]]);
    }
}
