//! Where deliveries may go: public addresses, and what the operator allows beside them.
//!
//! A tenant names the URLs its deliveries go to. Without these rules it could have the gateway reach into the
//! network it stands in: a metadata service, a database, a neighbour. Names are resolved and checked when a
//! connection is made, each time, so that a name that changes its address meanwhile (DNS rebinding) gains
//! nothing. A proxy from the environment is never used: it would resolve by itself.

use futures_util::future::BoxFuture;
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use url::{Host, Url};

/// Addresses that are not public and may be sent to nevertheless.
#[derive(Debug, Clone, Default)]
pub struct Allowed(Vec<IpNet>);

impl Allowed {
    /// Reads `loopback` and CIDR blocks; the error says which is neither.
    pub fn parse<'a>(entries: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut blocks = Vec::new();
        for entry in entries.map(str::trim).filter(|entry| !entry.is_empty()) {
            if entry == "loopback" {
                blocks.extend([
                    IpNet::from(ipnet::Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
                    IpNet::from(ipnet::Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
                ]);
            } else if let Ok(block) = entry.parse::<IpNet>() {
                blocks.push(block);
            } else if let Ok(address) = entry.parse::<IpAddr>() {
                blocks.push(address.into());
            } else {
                return Err(format!(
                    "\"{entry}\" is neither `loopback` nor an address block such as 10.0.0.0/8"
                ));
            }
        }
        Ok(Self(blocks))
    }

    /// The blocks, as text.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(IpNet::to_string).collect()
    }

    /// Whether deliveries may go to this address.
    pub fn permits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address) || self.0.iter().any(|block| block.contains(&address))
    }

    /// Checks a URL before it is sent to: its scheme, and its host if that is an address. Names are checked
    /// when they are resolved.
    pub fn check(&self, url: &Url) -> Result<(), Refused> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refused(format!("the scheme {} is not sent to", url.scheme())));
        }
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) => return Ok(()),
            None => return Err(Refused("the URL has no host".to_owned())),
        };
        if self.permits(address) { Ok(()) } else { Err(Refused::address(address)) }
    }
}

/// Why a target is not sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(String);

impl Refused {
    fn address(address: IpAddr) -> Self {
        Self(format!(
            "{address} is not a public address; NEXUS_ALLOW_PRIVATE_TARGETS names others that may be sent to"
        ))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// A name that could not be resolved.
#[derive(Debug)]
pub struct Unresolved(String);

impl fmt::Display for Unresolved {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Unresolved {}

/// Finds the addresses of a name.
type Lookup = Box<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Resolves names, and leaves out what may not be sent to.
pub struct CheckingResolver {
    allowed: Arc<Allowed>,
    lookup: Lookup,
}

impl CheckingResolver {
    /// One that asks the system.
    pub fn new(allowed: Arc<Allowed>) -> Self {
        let lookup: Lookup =
            Box::new(|name| Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) }));
        Self { allowed, lookup }
    }

    /// One that takes its addresses from elsewhere.
    #[cfg(test)]
    pub fn with(
        allowed: Arc<Allowed>,
        lookup: impl Fn(&str) -> Vec<SocketAddr> + Send + Sync + 'static,
    ) -> Self {
        let lookup: Lookup = Box::new(move |name| {
            let found = lookup(&name);
            Box::pin(async move { Ok(found) })
        });
        Self { allowed, lookup }
    }
}

impl Resolve for CheckingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = Arc::clone(&self.allowed);
        let found = (self.lookup)(name.as_str().to_owned());
        Box::pin(async move {
            let found = found
                .await
                .map_err(|error| Unresolved(format!("{} was not resolved: {error}", name.as_str())))?;
            let permitted: Vec<SocketAddr> =
                found.iter().copied().filter(|address| allowed.permits(address.ip())).collect();
            match (permitted.is_empty(), found.first()) {
                (false, _) => Ok(Box::new(permitted.into_iter()) as Addrs),
                (true, Some(refused)) => Err(Refused::address(refused.ip()).into()),
                (true, None) => Err(Unresolved(format!("{} has no address", name.as_str())).into()),
            }
        })
    }
}

/// Whether an address is reachable by everyone: none of the special-purpose registries' blocks.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = address.is_private()
        || address.is_loopback()
        || address.is_link_local() // among them 169.254.169.254, the clouds' metadata service
        || address.is_multicast()
        || address.is_documentation()
        || a == 0 // "this network"
        || a >= 240 // reserved, and broadcast
        || (a == 100 && (64..=127).contains(&b)) // shared by carriers; 100.100.100.200 is a metadata service
        || (a, b, c) == (192, 0, 0) // protocol assignments
        || (a, b, c) == (192, 88, 99) // 6to4 relays
        || (a == 198 && matches!(b, 18 | 19)); // benchmarks
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, third, ..] = address.segments();
    // Addresses that carry an IPv4 address are as public as that is.
    let embedded = match address.segments() {
        [0x0064, 0xff9b, 0, 0, 0, 0, ..] => last_v4(address), // NAT64
        [0, 0, 0, 0, 0, 0, ..] => last_v4(address), // IPv4-compatible; ::1 and :: fall under 0.0.0.0/8
        [0x2002, ..] => {
            let [a, b] = second.to_be_bytes();
            let [c, d] = third.to_be_bytes();
            Some(Ipv4Addr::new(a, b, c, d)) // 6to4
        }
        _ => None,
    };
    if let Some(embedded) = embedded {
        return is_public_v4(embedded);
    }
    // Only 2000::/3 is given out. Left out of it: Teredo, benchmarks, ORCHID and documentation.
    let is_special = match first {
        0x2001 => second < 0x0200 || second == 0x0db8,
        0x3fff => second < 0x1000,
        _ => false,
    };
    first & 0xe000 == 0x2000 && !is_special
}

fn last_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [.., a, b, c, d] = address.octets();
    Some(Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(allowed: &str, address: &str) -> bool {
        let allowed = Allowed::parse(allowed.split(',')).expect("blocks");
        allowed.permits(address.parse().expect("an address"))
    }

    #[test]
    fn public_addresses_are_sent_to() {
        for address in
            ["1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::101:101"]
        {
            assert!(permits("", address), "{address}");
        }
    }

    #[test]
    fn others_are_not() {
        for address in [
            "0.0.0.0",
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.100.100.200",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2002:0a00:0001::1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::7f00:1",
            "64:ff9b:1::101:101", // of a network's own NAT64
            "64:ff9b:0:1::101:101",
            "::ffff:0:101:101", // SIIT
            "0:0:1::101:101",
            "::ffff:169.254.169.254",
            "::a9fe:a9fe",
            "100::1",
            "3fff::1",
            "5f00::1",
        ] {
            assert!(!permits("", address), "{address}");
        }
    }

    /// What `make run` and `make up` set, and no other mode.
    #[test]
    fn loopback_is_no_wider_than_its_name() {
        let public = Allowed::default();
        let local = Allowed::parse(["loopback"].into_iter()).expect("blocks");
        assert_eq!(local.names(), ["127.0.0.0/8", "::1/128"]);
        // One address of every /16, and beside the edges of what is allowed.
        let mut addresses: Vec<IpAddr> = (0..=u16::MAX)
            .map(|half| IpAddr::V4(Ipv4Addr::from_bits((u32::from(half) << 16) | 0x0101)))
            .collect();
        addresses.extend(
            [
                "126.255.255.255",
                "127.0.0.0",
                "127.255.255.255",
                "128.0.0.0",
                "::",
                "::1",
                "::2",
                "::127.0.0.1",
                "fe80::1",
            ]
            .map(|address| address.parse::<IpAddr>().expect("an address")),
        );
        for address in addresses {
            let is_loopback = address.is_loopback();
            assert_eq!(local.permits(address), is_loopback || public.permits(address), "{address}");
        }
    }

    #[test]
    fn an_operator_may_allow_some() {
        assert!(permits("loopback", "127.0.0.1") && permits("loopback", "::1"));
        assert!(permits("loopback", "::ffff:127.0.0.1"), "the same address in another coat");
        assert!(!permits("loopback", "10.0.0.1") && !permits("loopback", "169.254.169.254"));
        assert!(permits("loopback, 10.1.0.0/16", "10.1.2.3") && !permits("10.1.0.0/16", "10.2.0.1"));
    }

    #[test]
    fn addresses_in_urls_are_checked_in_every_spelling() {
        let allowed = Allowed::default();
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:7f00:1]/",
            "http://169.254.169.254/latest/",
            "ftp://example.com/",
            "file:///etc/passwd",
        ] {
            let url = Url::parse(url).expect("a URL");
            assert!(allowed.check(&url).is_err(), "{url}");
        }
        let named = Url::parse("http://localhost/").expect("a URL");
        assert_eq!(allowed.check(&named), Ok(()), "names are checked when they are resolved");
    }

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    #[tokio::test]
    async fn names_are_checked_when_they_are_resolved() {
        let strict = CheckingResolver::new(Arc::default());
        let refused = strict.resolve(name("localhost")).await.err().expect("localhost is not public");
        assert!(refused.downcast_ref::<Refused>().is_some());
        let loopback = Allowed::parse(["loopback"].into_iter()).expect("blocks");
        let lenient = CheckingResolver::new(Arc::new(loopback));
        assert!(lenient.resolve(name("localhost")).await.is_ok());
    }

    #[tokio::test]
    async fn of_several_addresses_only_public_ones_are_connected_to() {
        let found = ["10.0.0.1:0", "1.1.1.1:0", "[::1]:0", "[2606:4700::1111]:0"];
        let found = found.map(|address| address.parse::<SocketAddr>().expect("an address"));
        let resolver = CheckingResolver::with(Arc::default(), move |_| found.to_vec());
        let permitted: Vec<SocketAddr> =
            resolver.resolve(name("mixed")).await.expect("some are public").collect();
        assert_eq!(permitted, [found[1], found[3]]);
        let nowhere = CheckingResolver::with(Arc::default(), |_| Vec::new());
        let unresolved = nowhere.resolve(name("nowhere")).await.err().expect("no address");
        assert!(unresolved.downcast_ref::<Unresolved>().is_some());
    }
}
