//! What a webhook takes of the disk, table by table.

use super::{Bench, Result};
use nexus_bench::aligned;

const SIZES: &str = include_str!("sizes.sql");

/// Prints the bytes of a webhook in each table, by what the bench has left.
pub async fn print(bench: &Bench<'_>) -> Result<()> {
    bench.admin.batch_execute("vacuum").await?;
    let webhooks = ((bench.next - 1) * bench.way.size) as f64;
    let titles = ["bytes of a webhook", "rows", "apart", "indexes", "all"];
    let mut table = vec![titles.map(str::to_owned).to_vec()];
    let mut sums = [0.0; 4];
    for row in bench.admin.query(SIZES, &[&webhooks]).await? {
        let (heap, toast, indexes): (f64, f64, f64) = (row.get(1), row.get(2), row.get(3));
        let sizes = [heap, toast, indexes, heap + toast + indexes];
        sums.iter_mut().zip(sizes).for_each(|(sum, size)| *sum += size);
        table.push(line(row.get(0), sizes));
    }
    table.push(line("all", sums));
    println!("{}\n", aligned(&table));
    Ok(())
}

fn line(name: &str, sizes: [f64; 4]) -> Vec<String> {
    std::iter::once(name.to_owned()).chain(sizes.map(|size| format!("{size:.0}"))).collect()
}
