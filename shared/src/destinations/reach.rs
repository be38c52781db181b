//! Which addresses requests to destinations may go to.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use url::{Host, Url};

/// Which addresses requests to destinations may go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// Public addresses, by https.
    #[default]
    Public,
    /// Those, and this machine, also by http: for tests and the local cloud.
    PublicAndLoopback,
}

impl Reach {
    /// Public addresses, and this machine where it is allowed.
    pub fn with_loopback(is_allowed: bool) -> Self {
        if is_allowed { Self::PublicAndLoopback } else { Self::Public }
    }

    /// Whether requests may go to a URL, as far as the URL tells it. A name's addresses are looked at when it is resolved.
    ///
    /// # Errors
    /// What is wrong with it. The text holds nothing of the URL.
    pub(super) fn check(self, url: &Url) -> Result<(), &'static str> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err("its \"url\" has a user or a password in it");
        }
        let is_loopback = match url.host() {
            None => return Err("its \"url\" names no host"),
            Some(Host::Domain(name)) => is_local_name(name),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
        };
        let is_allowed_loopback = is_loopback && self == Self::PublicAndLoopback;
        if is_allowed_loopback && matches!(url.scheme(), "http" | "https") {
            return Ok(());
        }
        match url.host() {
            _ if url.scheme() != "https" => Err("its \"url\" does not begin with https"),
            Some(Host::Domain(name)) if is_local_name(name) => Err("its \"url\" names this machine"),
            Some(Host::Domain(_)) => Ok(()),
            _ => Err("its \"url\" has an IP address in place of a host's name"),
        }
    }

    /// Whether a request may go to an address that a name resolved to.
    fn allows(self, address: IpAddr) -> bool {
        is_public(address) || self == Self::PublicAndLoopback && address.is_loopback()
    }
}

fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether an address is one of the public internet, by IANA's registries of special-purpose addresses.
///
/// <https://www.iana.org/assignments/iana-ipv4-special-registry/>,
/// <https://www.iana.org/assignments/iana-ipv6-special-registry/>
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = match (a, b, c) {
        // This network, private, shared by carriers (RFC 6598), loopback, link-local (with the metadata of clouds).
        (0 | 10 | 127, ..) | (100, 64..=127, _) | (169, 254, _) | (172, 16..=31, _) | (192, 168, _) => true,
        // Protocol assignments, documentation, relays of 6to4, benchmarks.
        (192, 0, 0 | 2) | (192, 88, 99) | (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113) => true,
        // Multicast, reserved, broadcast.
        (224.., ..) => true,
        _ => false,
    };
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // Global unicast is 2000::/3. That leaves out loopback, mapped (::ffff:0:0/96) and compatible IPv4, NAT64
    // (64:ff9b::/96 and 64:ff9b:1::/48), unique local, link-local, site-local and multicast addresses.
    let is_global = segments[0] & 0xe000 == 0x2000;
    let is_special = match (segments[0], segments[1]) {
        // Protocol assignments with Teredo and ORCHID, documentation, 6to4, documentation.
        (0x2001, 0..=0x01ff | 0x0db8) | (0x2002, _) | (0x3fff, 0..=0x0fff) => true,
        _ => false,
    };
    is_global && !is_special
}

/// Why a name was not resolved to an address that requests may go to.
#[derive(Debug, thiserror::Error)]
#[error("the host's name leads to no public address")]
pub(super) struct NotPublic;

/// Resolves names to public addresses only. The client connects to the addresses that were looked at here: nothing can be
/// put in their place between the look and the connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct PublicResolver(pub(super) Reach);

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> = found.into_iter().filter(|found| reach.allows(found.ip())).collect();
            if allowed.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_reached() {
        for (address, is_allowed) in [
            ("1.1.1.1", true),
            ("100.63.255.255", true),
            ("172.32.0.1", true),
            ("192.0.1.1", true),
            ("223.255.255.255", true),
            ("0.0.0.0", false),
            ("10.1.2.3", false),
            ("100.64.0.1", false),
            ("100.127.255.255", false),
            ("127.0.0.1", false),
            ("127.255.0.1", false),
            ("169.254.169.254", false),
            ("172.16.0.1", false),
            ("172.31.255.255", false),
            ("192.0.0.1", false),
            ("192.0.2.1", false),
            ("192.168.1.1", false),
            ("198.18.0.1", false),
            ("198.19.255.255", false),
            ("203.0.113.9", false),
            ("224.0.0.1", false),
            ("240.0.0.1", false),
            ("255.255.255.255", false),
            ("2606:4700:4700::1111", true),
            ("2a00:1450:4001::1", true),
            ("::", false),
            ("::1", false),
            ("::127.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("::ffff:1.1.1.1", false),
            ("64:ff9b::a00:1", false),
            ("64:ff9b:1::a00:1", false),
            ("2001::1", false),
            ("2001:db8::1", false),
            ("2002:a00:1::", false),
            ("3fff::1", false),
            ("fc00::1", false),
            ("fd12::1", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(Reach::Public.allows(address), is_allowed, "{address}");
            let with_loopback = is_allowed || address.is_loopback();
            assert_eq!(Reach::PublicAndLoopback.allows(address), with_loopback, "{address}");
        }
    }

    #[test]
    fn a_url_is_https_and_names_a_host_that_is_not_this_machine() {
        for (url, is_allowed, is_allowed_in_tests) in [
            ("https://hooks.example.com/x?sig=1", true, true),
            ("https://hooks.example.com:8443/x", true, true),
            ("http://hooks.example.com/x", false, false),
            ("ftp://hooks.example.com/x", false, false),
            ("https://user@hooks.example.com/", false, false),
            ("https://localhost/", false, true),
            ("http://localhost:8080/", false, true),
            ("http://a.localhost./", false, true),
            ("http://127.0.0.1:8080/", false, true),
            ("https://0x7f.1/", false, true),
            ("https://2130706433/", false, true),
            ("http://[::1]:8080/", false, true),
            ("https://1.1.1.1/", false, false),
            ("https://169.254.169.254/latest/meta-data", false, false),
            ("https://[::ffff:127.0.0.1]/", false, false),
            ("https://[64:ff9b::7f00:1]/", false, false),
            ("data:text/plain,x", false, false),
        ] {
            let parsed = Url::parse(url).unwrap();
            assert_eq!(Reach::Public.check(&parsed).is_ok(), is_allowed, "{url}");
            assert_eq!(Reach::PublicAndLoopback.check(&parsed).is_ok(), is_allowed_in_tests, "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_not_resolved_unless_a_test_allows_it() {
        let resolve = |reach| PublicResolver(reach).resolve("localhost".parse().unwrap());
        let refused = resolve(Reach::Public).await.err().unwrap();
        assert!(refused.downcast_ref::<NotPublic>().is_some());
        assert!(resolve(Reach::PublicAndLoopback).await.is_ok_and(|found| found.count() > 0));
    }
}
