//! Certificates of a test's own: an authority, and what it signs for a server, with any name and any life.

use std::sync::Arc;

use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// The life of a certificate, as far from any clock as can be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Life {
    Over,
    Now,
    ToCome,
}

/// For whom a certificate is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum For {
    /// 127.0.0.1.
    ThisMachine,
    Another,
}

/// A key, its name, and the certificate that says so.
pub(crate) struct Identity {
    name: &'static str,
    pkcs8: Vec<u8>,
    certificate: Vec<u8>,
}

const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
const UTF8: u8 = 0x0C;
const TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const TRUE: &[u8] = &[0x01, 0x01, 0xFF];
/// ecdsa-with-SHA256, id-ecPublicKey, prime256v1, commonName, basicConstraints, subjectAltName.
const SIGNED_BY: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02];
const CURVE_KEY: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];
const P256: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const CONSTRAINTS: &[u8] = &[0x55, 0x1D, 0x13];
const NAMES: &[u8] = &[0x55, 0x1D, 0x11];

/// An element of DER.
fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let length: &[u8] = match content.len() {
        0..0x80 => &length[1..],
        0x80..0x100 => &[0x81, length[1]],
        _ => &[0x82, length[0], length[1]],
    };
    [&[tag], length, &content].concat()
}

fn name(name: &str) -> Vec<u8> {
    let pair = element(SEQUENCE, &[&element(OID, &[COMMON_NAME]), &element(UTF8, &[name.as_bytes()])]);
    element(SEQUENCE, &[&element(SET, &[&pair])])
}

fn life(life: Life) -> Vec<u8> {
    let (from, until): (&[u8], &[u8]) = match life {
        Life::Over => (b"20200101000000Z", b"20200601000000Z"),
        Life::Now => (b"20200101000000Z", b"29990101000000Z"),
        Life::ToCome => (b"29980101000000Z", b"29990101000000Z"),
    };
    element(SEQUENCE, &[&element(TIME, &[from]), &element(TIME, &[until])])
}

fn key_pair(pkcs8: &[u8]) -> EcdsaKeyPair {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8, &SystemRandom::new()).unwrap()
}

fn new_key() -> Vec<u8> {
    EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new()).unwrap().as_ref().to_vec()
}

/// A certificate of `subject` with its extension, signed by `issuer`'s key.
fn certificate(issuer: (&str, &EcdsaKeyPair), subject: (&str, &EcdsaKeyPair), valid: Life, extension: &[u8]) -> Vec<u8> {
    let algorithm = element(SEQUENCE, &[&element(OID, &[SIGNED_BY])]);
    let curve = element(SEQUENCE, &[&element(OID, &[CURVE_KEY]), &element(OID, &[P256])]);
    let key = element(SEQUENCE, &[&curve, &element(BITS, &[&[0], subject.1.public_key().as_ref()])]);
    let extensions = element(0xA3, &[&element(SEQUENCE, &[extension])]);
    let version = element(0xA0, &[&element(INTEGER, &[&[2]])]);
    let serial = element(INTEGER, &[&[7]]);
    let said = element(SEQUENCE, &[&version, &serial, &algorithm, &name(issuer.0), &life(valid), &name(subject.0), &key, &extensions]);
    let signature = issuer.1.sign(&SystemRandom::new(), &said).unwrap();
    element(SEQUENCE, &[&said, &algorithm, &element(BITS, &[&[0], signature.as_ref()])])
}

/// The names that a server's certificate is for.
fn names(of: For) -> Vec<u8> {
    let name = match of {
        For::ThisMachine => element(0x87, &[&[127, 0, 0, 1]]),
        For::Another => element(0x82, &[b"other.example"]),
    };
    element(SEQUENCE, &[&element(OID, &[NAMES]), &element(OCTETS, &[&element(SEQUENCE, &[&name])])])
}

impl Identity {
    /// An authority that signs for itself.
    pub(crate) fn authority(called: &'static str) -> Self {
        let pkcs8 = new_key();
        let key = key_pair(&pkcs8);
        let may_sign = element(OCTETS, &[&element(SEQUENCE, &[TRUE])]);
        let extension = element(SEQUENCE, &[&element(OID, &[CONSTRAINTS]), TRUE, &may_sign]);
        let certificate = certificate((called, &key), (called, &key), Life::Now, &extension);
        Self { name: called, pkcs8, certificate }
    }

    /// A server that this authority vouches for.
    pub(crate) fn signs(&self, of: For, life: Life) -> Self {
        let pkcs8 = new_key();
        let certificate = certificate((self.name, &key_pair(&self.pkcs8)), ("server", &key_pair(&pkcs8)), life, &names(of));
        Self { name: "server", pkcs8, certificate }
    }

    /// A server that only it itself vouches for.
    pub(crate) fn self_signed() -> Self {
        let pkcs8 = new_key();
        let key = key_pair(&pkcs8);
        let certificate = certificate(("server", &key), ("server", &key), Life::Now, &names(For::ThisMachine));
        Self { name: "server", pkcs8, certificate }
    }

    /// As `SSL_CERT_FILE` wants it.
    pub(crate) fn pem(&self) -> String {
        let lines = base64(&self.certificate).into_bytes();
        let lines: Vec<&str> = lines.chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    }

    /// How a server shows it.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pkcs8.clone()));
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions().unwrap();
        let chain = vec![CertificateDer::from(self.certificate.clone())];
        Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
    }
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let sum = (0..3).fold(0u32, |sum, i| sum << 8 | u32::from(three.get(i).copied().unwrap_or(0)));
        let letter = |i: usize| if i > three.len() { '=' } else { char::from(LETTERS[(sum >> (18 - 6 * i) & 63) as usize]) };
        (0..4).map(letter).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}
