//! TLS in front of a port of this machine, with certificates of an authority of our own. Python and Node.js trust it by a
//! variable of their environment. Ours trusts public authorities alone, so that the package in `tls-build` builds it anew.

use crate::Result;
use crate::subjects::target;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// The authority. It is made once, so that what trusts it has to be built once.
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// The one that is kept in `target/bench`.
    pub fn kept() -> Result<Self> {
        let folder = target()?.join("bench/authority");
        let mut params = CertificateParams::new([])?;
        params.distinguished_name.push(DnType::CommonName, "Authority of the measurements");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = match fs::read(folder.join("key.der")) {
            Ok(key) => KeyPair::try_from(key)?,
            Err(_) => {
                let key = KeyPair::generate()?;
                let certificate = params.self_signed(&key)?;
                fs::create_dir_all(&folder)?;
                fs::write(folder.join("certificate.der"), certificate.der())?;
                fs::write(folder.join("certificate.pem"), pem(certificate.der()))?;
                fs::write(folder.join("key.der"), key.serialize_der())?;
                key
            }
        };
        Ok(Self { folder, issuer: Issuer::new(params, key) })
    }

    /// Its certificate, as `tls-build` takes it.
    pub fn der(&self) -> PathBuf {
        self.folder.join("certificate.der")
    }

    /// What has Python, Node.js and their libraries trust it.
    pub fn environment(&self) -> Vec<(String, String)> {
        let file = self.folder.join("certificate.pem").display().to_string();
        ["AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"]
            .map(|name| (name.to_owned(), file.clone()))
            .to_vec()
    }

    fn acceptor(&self) -> Result<TlsAcceptor> {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()])?;
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = ServerConfig::builder().with_no_client_auth();
        Ok(TlsAcceptor::from(Arc::new(config.with_single_cert(vec![certificate.der().clone()], key)?)))
    }
}

fn pem(certificate: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(certificate);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// Takes TLS, and passes on what is in it. Dropping it ends it.
pub struct Door {
    port: u16,
    server: JoinHandle<()>,
}

impl Door {
    /// Starts one in front of a port of this machine.
    pub async fn start(upstream: u16, authority: &Authority) -> Result<Self> {
        let acceptor = authority.acceptor()?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let server = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let _ = client.set_nodelay(true);
                    let mut client = acceptor.accept(client).await?;
                    let mut service = TcpStream::connect(("127.0.0.1", upstream)).await?;
                    service.set_nodelay(true)?;
                    copy_bidirectional(&mut client, &mut service).await
                });
            }
        });
        Ok(Self { port, server })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    #[tokio::test]
    async fn who_trusts_the_authority_reaches_the_service_through_the_door_and_nobody_else_does() {
        let authority = Authority::kept().unwrap();
        let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let door = Door::start(service.local_addr().unwrap().port(), &authority).await.unwrap();
        let connect = async |roots: RootCertStore| {
            let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
            let stream = TcpStream::connect(("127.0.0.1", door.port())).await.unwrap();
            let address = std::net::IpAddr::from([127, 0, 0, 1]);
            TlsConnector::from(Arc::new(config)).connect(address.into(), stream).await
        };
        assert!(connect(RootCertStore::empty()).await.is_err());
        let mut roots = RootCertStore::empty();
        roots.add(fs::read(authority.der()).unwrap().into()).unwrap();
        let mut client = connect(roots).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        let mut got = [0; 5];
        service.accept().await.unwrap().0.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"hello");
    }

    #[test]
    fn a_certificate_is_written_in_lines_that_every_library_reads() {
        assert_eq!(pem(b"x"), "-----BEGIN CERTIFICATE-----\neA==\n-----END CERTIFICATE-----\n");
        assert!(pem(&[7; 200]).lines().all(|line| line.len() <= 64));
    }
}
