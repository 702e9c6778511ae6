//! What the driver counts, for operators' commands.

/// How long things took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latency {
    count: u64,
    total_ns: u64,
    min_ns: u64,
    max_ns: u64,
    last_ns: u64,
}

/// The server's counters since its start, or since they were reset.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Packets of clients.
    pub received: u64,
    /// Packets to clients.
    pub sent: u64,
    /// From reading a request to queueing its answer.
    pub latency: Latency,
    /// Bytes of the smallest, the largest and the last reply.
    pub reply_bytes: Option<(usize, usize, usize)>,
    /// Connections closed because their bytes were no packet.
    pub bad_packets: u64,
    /// Connections closed by the server.
    pub closed: u64,
}

impl Latency {
    /// Counts one.
    pub fn add(&mut self, ns: u64) {
        self.min_ns = if self.count == 0 { ns } else { self.min_ns.min(ns) };
        self.max_ns = self.max_ns.max(ns);
        self.last_ns = ns;
        self.total_ns += ns;
        self.count += 1;
    }
    /// Smallest, whole ms.
    pub fn min_ms(&self) -> u64 {
        self.min_ns / 1_000_000
    }
    /// Largest, whole ms.
    pub fn max_ms(&self) -> u64 {
        self.max_ns / 1_000_000
    }
    /// Last, whole ms.
    pub fn last_ms(&self) -> u64 {
        self.last_ns / 1_000_000
    }
    /// Mean in ms, with at most four decimals and at least one, as ZooKeeper prints it.
    pub fn avg_ms(&self) -> String {
        let tenths_of_us = self.total_ns.checked_div(self.count).unwrap_or(0) / 100;
        let text = format!("{}.{:04}", tenths_of_us / 10_000, tenths_of_us % 10_000);
        let short = text.trim_end_matches('0');
        if short.ends_with('.') { format!("{short}0") } else { short.to_owned() }
    }
    /// Mean in whole ms.
    pub fn avg_whole_ms(&self) -> u64 {
        self.total_ns.checked_div(self.count).unwrap_or(0) / 1_000_000
    }
}

impl Stats {
    /// Counts a reply of so many bytes.
    pub fn replied(&mut self, bytes: usize) {
        self.sent += 1;
        self.reply_bytes = Some(match self.reply_bytes {
            None => (bytes, bytes, bytes),
            Some((min, max, _)) => (min.min(bytes), max.max(bytes), bytes),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::Latency;

    #[test]
    fn averages_look_as_zookeepers() {
        let mut latency = Latency::default();
        assert_eq!(latency.avg_ms(), "0.0");
        latency.add(1_000_000);
        assert_eq!(latency.avg_ms(), "1.0");
        latency.add(3_000_000);
        latency.add(500_000);
        assert_eq!(latency.avg_ms(), "1.5");
        assert_eq!((latency.min_ms(), latency.max_ms()), (0, 3));
        latency.add(234_500);
        assert_eq!(latency.avg_ms(), "1.1836");
    }
}
