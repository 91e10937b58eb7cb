//! The real [`Es9Client`]: HTTPS, trusting the given CIs and nobody else. SGP.22 §2.6.6 and §6.1
//!
//! [`Https`] carries any request, with a timeout for an exchange as a whole; [`HttpsClient`] uses it for SGP.22
//! servers.

mod connect;
mod fault;
mod path;
mod unfit;
mod verify;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use calendar::Clock;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rsp::activation_code::is_server_address;
use rsp::{VersionType, es9};
use rustls::ClientConfig;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use tokio::runtime::Runtime;

use crate::checks::Checks;
pub use crate::error::HttpsError;
use crate::error::{ServerError, TimeLimit};
use crate::server::{Es9Client, HttpResponse};
use connect::{Connector, PeerCertificate};
use path::uncritical;
use tls::AnyPeer;
use verify::Verifier;

pub use connect::{Elsewhere, ElsewhereError};
pub use fault::{CLOCK, NOBODY_LISTENS, ROLE, TRUST, WANTS_CERTIFICATE, fault};

/// Default timeout of an exchange, from the connection to the last octet of the answer. A server may have to bind a
/// profile package.
pub const EXCHANGE_LIMIT: Duration = Duration::from_mins(1);
/// Maximum size of an answer. Profile packages have some ten or hundred thousand octets, in base64.
const MAX_ANSWER: usize = 16 << 20;
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(90);

/// Which servers are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Those whose certificate leads to one of these CI certificates (DER) and names them.
    Cis(Vec<Vec<u8>>),
    /// Any server: for tests against a server without a proper certificate.
    Insecure,
}

/// How servers are reached, and what is required of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Which servers are trusted.
    pub trust: Trust,
    /// Redirected addresses.
    pub hosts: Vec<Elsewhere>,
    /// Whether a server below a CERT.CI needs an SGP.22 certificate: CERT.DPtls or CERT.DStls, for TLS servers, with an
    /// OID. Below another certification authority it needs no role, but must not have a different one.
    pub roles: bool,
    /// Whether its certificate and the CI's must be valid now.
    pub validity: bool,
    /// Timeout of an exchange as a whole.
    pub exchange_limit: Duration,
    /// By which time certificates are judged.
    pub clock: Clock,
}

impl Settings {
    /// For SGP.22 servers, with all checks.
    pub fn new(trust: Trust) -> Self {
        Self {
            trust,
            hosts: Vec::new(),
            roles: true,
            validity: true,
            exchange_limit: EXCHANGE_LIMIT,
            clock: Clock::System,
        }
    }

    /// The LPA's checks of such servers at this time, in seconds since 1970.
    pub fn checks(&self, now: u64) -> Checks {
        let cis = match &self.trust {
            Trust::Cis(cis) => cis.as_slice(),
            Trust::Insecure => &[],
        };
        Checks { now: self.validity.then_some(now), ..Checks::at(now).knowing(cis) }
    }
}

/// Sends HTTPS requests, and reuses connections. HTTPS_PROXY and NO_PROXY from the environment are respected, never for
/// this machine itself. Redirects are not followed.
///
/// It blocks, and must not be created or used inside an asynchronous runtime.
#[derive(Clone)]
pub struct Https {
    client: Client<Connector, Full<Bytes>>,
    executor: Arc<Executor>,
    limit: Duration,
}

impl fmt::Debug for Https {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Https").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// Runs connections in the background. Dropping it does not wait for them.
struct Executor(Option<Runtime>);

impl Drop for Executor {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// 200, 204, 404 …
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
    /// The server's TLS certificate, DER.
    pub certificate: Option<Vec<u8>>,
}

impl Https {
    /// With the proxy from the environment, if there is one.
    pub fn new(settings: &Settings) -> Result<Self, HttpsError> {
        let proxies = match environment("https_proxy") {
            Some(proxy) => {
                let direct = format!("{},localhost,127.0.0.0/8,::1", environment("no_proxy").unwrap_or_default());
                Some(proxies(&proxy, direct).ok_or(HttpsError::Proxy)?)
            }
            None => None,
        };
        Self::build(settings, &settings.hosts, proxies)
    }

    /// All connections go through this proxy (`http://[USER:PASSWORD@]HOST:PORT`, HTTP CONNECT), whatever the
    /// environment says: another device's connection. TLS is still end to end with the server.
    pub fn through(settings: &Settings, proxy: &str) -> Result<Self, HttpsError> {
        Self::build(settings, &[], Some(proxies(proxy, String::new()).ok_or(HttpsError::GivenProxy)?))
    }

    fn build(settings: &Settings, hosts: &[Elsewhere], proxies: Option<Matcher>) -> Result<Self, HttpsError> {
        let connector = Connector::new(tls_config(settings)?, hosts, proxies);
        // Events on an idle connection are noticed at once: that the server closed it.
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).thread_name("https").enable_all().build();
        let runtime = runtime.map_err(|error| HttpsError::Tls(error.to_string()))?;
        let mut client = Client::builder(TokioExecutor::new());
        client.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE);
        let executor = Arc::new(Executor(Some(runtime)));
        Ok(Self { client: client.build(connector), executor, limit: settings.exchange_limit })
    }

    /// Sends a request to an absolute `https` address and returns the answer, with a body of at most `largest` octets.
    ///
    /// It takes no longer than [`Settings::exchange_limit`] as a whole, nor beyond `until`.
    pub fn send(
        &self,
        request: Request<String>,
        largest: usize,
        until: Option<Instant>,
    ) -> Result<Answer, ServerError> {
        let address = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        if request.uri().scheme_str() != Some("https") || address.is_empty() {
            return Err(ServerError::Url(request.uri().to_string()));
        }
        let fault = |error: &(dyn std::error::Error + 'static)| fault::fault(&address, error);
        let mut request = request.map(|body| Full::new(Bytes::from(body)));
        request.headers_mut().entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        let end = Instant::now() + self.limit;
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|error| fault(&error))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, largest).collect().await.map_err(|error| {
                if error.is::<http_body_util::LengthLimitError>() {
                    return ServerError::Malformed { address: address.clone(), cause: "it is too long".into() };
                }
                fault(&*error)
            })?;
            let certificate = head.extensions.get::<PeerCertificate>().map(|certificate| certificate.0.to_vec());
            let body = body.to_bytes().to_vec();
            Ok(Answer { status: head.status.as_u16(), headers: head.headers, body, certificate })
        };
        let deadline = until.map_or(end, |until| until.min(end));
        let limit = if deadline < end { TimeLimit::Procedure } else { TimeLimit::Exchange(self.limit.as_secs()) };
        let too_slow = || ServerError::TooSlow { address: address.clone(), limit };
        let Some(runtime) = &self.executor.0 else { return Err(too_slow()) };
        runtime
            .block_on(async { tokio::time::timeout_at(deadline.into(), exchange).await })
            .unwrap_or_else(|_| Err(too_slow()))
    }
}

/// All of HTTPS through one proxy, except direct addresses; `None` if it is invalid.
fn proxies(proxy: &str, direct: String) -> Option<Matcher> {
    let is_usable = |matcher: &Matcher| {
        let any = Uri::from_static("https://a.example/");
        matcher.intercept(&any).is_some_and(|proxy| proxy.uri().scheme_str() == Some("http"))
    };
    is_usable(&Matcher::builder().https(proxy).build()).then(|| Matcher::builder().https(proxy).no(direct).build())
}

/// An environment variable in lower or upper case.
fn environment(name: &str) -> Option<String> {
    let value = std::env::var(name).or_else(|_| std::env::var(name.to_uppercase())).ok();
    value.filter(|value| !value.is_empty())
}

fn tls_config(settings: &Settings) -> Result<ClientConfig, HttpsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| HttpsError::Tls(error.to_string()))?
        .dangerous();
    let mut config = match &settings.trust {
        Trust::Cis(cis) => {
            let verifier = Verifier::new(cis, &provider, settings.roles, settings.validity)?;
            builder.with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
        }
        Trust::Insecure => {
            let any = AnyPeer::new(provider).reading(uncritical);
            builder.with_custom_certificate_verifier(Arc::new(any)).with_no_client_auth()
        }
    };
    if settings.clock != Clock::System {
        config.time_provider = Arc::new(Time(settings.clock));
    }
    Ok(config)
}

/// A clock that was set, for TLS.
#[derive(Debug)]
struct Time(Clock);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.at(UnixTime::now().as_secs()))))
    }
}

/// An HTTPS client for ES9+ and ES11.
///
/// It blocks, and must not be created or used inside an asynchronous runtime.
#[derive(Debug, Clone)]
pub struct HttpsClient {
    https: Https,
    /// Whether server certificates are checked.
    roles: bool,
    until: Option<Instant>,
    certificate: Option<Vec<u8>>,
}

impl HttpsClient {
    /// A client with this trust. Each of `hosts` is reached at its given address instead of where the DNS says.
    pub fn new(trust: &Trust, hosts: &[Elsewhere]) -> Result<Self, HttpsError> {
        Self::with(&Settings { hosts: hosts.to_vec(), ..Settings::new(trust.clone()) })
    }

    /// A client with these settings.
    pub fn with(settings: &Settings) -> Result<Self, HttpsError> {
        Ok(Self::over(Https::new(settings)?, settings))
    }

    /// A client whose connections all go through this proxy, like [`Https::through`].
    pub fn through(settings: &Settings, proxy: &str) -> Result<Self, HttpsError> {
        Ok(Self::over(Https::through(settings, proxy)?, settings))
    }

    fn over(https: Https, settings: &Settings) -> Self {
        let roles = settings.roles && settings.trust != Trust::Insecure;
        Self { https, roles, until: None, certificate: None }
    }
}

impl Es9Client for HttpsClient {
    fn post(&mut self, address: &str, path: &str, body: &str) -> Result<HttpResponse, ServerError> {
        let url = is_server_address(address).then(|| Uri::from_str(&format!("https://{address}{path}")).ok()).flatten();
        let url = url.ok_or_else(|| ServerError::Address(address.into()))?;
        let request = Request::post(url)
            .header(es9::ADMIN_PROTOCOL_HEADER, es9::admin_protocol(VersionType::new(2, 5, 0)))
            .header(USER_AGENT, es9::USER_AGENT)
            .header(CONTENT_TYPE, es9::CONTENT_TYPE)
            .body(body.to_owned())
            .map_err(|_| ServerError::Address(address.into()))?;
        let answer = self.https.send(request, MAX_ANSWER, self.until)?;
        self.certificate = answer.certificate.filter(|_| self.roles);
        Ok(HttpResponse { status: answer.status, body: answer.body })
    }

    fn until(&mut self, moment: Option<Instant>) {
        self.until = moment;
    }

    fn certificate(&self) -> Option<&[u8]> {
        self.certificate.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsp::certificate::Role;
    use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
    use rustls::sign::{CertifiedKey, SingleCertAndKey};
    use rustls::{ServerConfig, ServerConnection, Stream};
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::SystemTime;
    use test_pki::{Credential, Parameters, Pki};

    fn now() -> u64 {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
    }

    fn fill(seed: u8) -> impl FnMut(&mut [u8]) {
        let mut count = 0_u64;
        move |octets: &mut [u8]| {
            for octet in octets {
                count += 1;
                *octet = count.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()[0] ^ seed;
            }
        }
    }

    /// A test PKI valid today, different for every seed.
    fn pki(seed: u8) -> Pki {
        let parameters = Parameters::new(now() - 60, "89049032123451234512345678901235".parse().unwrap());
        Pki::mint(&parameters, &mut fill(seed)).unwrap()
    }

    /// Serves one HTTPS request with CERT.DPtls of `pki`; returns the port, and later the request.
    fn serve(pki: &Pki, answer: &'static str) -> (u16, std::thread::JoinHandle<Option<String>>) {
        serve_as(pki.get(Role::DpTls).unwrap(), move |stream, _| stream.write_all(answer.as_bytes()).is_ok())
    }

    /// Serves one HTTPS request with this certificate; `answer` says whether it did.
    fn serve_as(
        tls: &Credential,
        answer: impl FnOnce(&mut dyn Write, &TcpStream) -> bool + Send + 'static,
    ) -> (u16, std::thread::JoinHandle<Option<String>>) {
        serve_with(tls.der(), tls.key_der().unwrap().to_vec(), answer)
    }

    /// Presents this certificate without validating it.
    fn resolver(certificate: &[u8], key: PrivatePkcs8KeyDer<'static>) -> Arc<SingleCertAndKey> {
        let provider = rustls::crypto::ring::default_provider();
        let key = provider.key_provider.load_private_key(key.into()).unwrap();
        Arc::new(CertifiedKey::new(vec![CertificateDer::from(certificate.to_vec())], key).into())
    }

    fn serve_with(
        certificate: &[u8],
        key: Vec<u8>,
        answer: impl FnOnce(&mut dyn Write, &TcpStream) -> bool + Send + 'static,
    ) -> (u16, std::thread::JoinHandle<Option<String>>) {
        let key = PrivatePkcs8KeyDer::from(key);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(resolver(certificate, key));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let other = socket.try_clone().unwrap();
            let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
            let mut stream = Stream::new(&mut connection, &mut socket);
            let (mut request, mut buffer) = (String::new(), [0; 4096]);
            while !request.ends_with('}') {
                let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
                request.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
            }
            let is_answered = answer(&mut stream, &other);
            stream.flush().ok()?;
            is_answered.then_some(request)
        });
        (port, server)
    }

    const EMPTY: &str = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";

    fn client(pki: &Pki) -> HttpsClient {
        HttpsClient::new(&Trust::Cis(vec![pki.get(Role::Ci).unwrap().der().to_vec()]), &[]).unwrap()
    }

    #[test]
    fn a_trusted_server_is_asked_as_the_specification_says() {
        let pki = pki(1);
        for host in ["127.0.0.1", "localhost"] {
            let (port, server) = serve(&pki, EMPTY);
            let answer = client(&pki).post(&format!("{host}:{port}"), "/gsma/rsp2/es9plus/x", "{}").unwrap();
            assert_eq!(answer, HttpResponse { status: 204, body: vec![] });
            let request = server.join().unwrap().unwrap().to_lowercase();
            assert!(request.starts_with("post /gsma/rsp2/es9plus/x http/1.1\r\n"), "{request}");
            for header in
                ["x-admin-protocol: gsma/rsp/v2.5.0", "user-agent: gsma-rsp-lpad", "content-type: application/json"]
            {
                assert!(request.contains(header), "{request}");
            }
        }
    }

    /// By name and by IP address, with its own port and without: the given address is contacted, under the server's
    /// name.
    #[test]
    fn a_host_can_be_looked_for_elsewhere() {
        let pki = pki(1);
        for address in
            ["smdp.example", "smdp.example:8443", "192.0.2.1", "192.0.2.1:8443", "[2001:db8::1]", "[2001:db8::1]:8443"]
        {
            let (port, server) = serve(&pki, EMPTY);
            let name = address.strip_suffix(":8443").unwrap_or(address);
            let hosts = [format!("{name}=127.0.0.1:{port}").parse().unwrap()];
            let mut client = HttpsClient::new(&Trust::Insecure, &hosts).unwrap();
            client.post(address, "/", "{}").unwrap();
            assert!(server.join().unwrap().unwrap().contains(&format!("host: {address}\r\n")), "{address}");
        }
        // Another port is another server.
        let (port, server) = serve(&pki, EMPTY);
        let hosts = [format!("127.0.0.1:1=localhost:{port}").parse().unwrap()];
        let mut client = HttpsClient::new(&Trust::Insecure, &hosts).unwrap();
        assert!(client.post("127.0.0.1:2", "/", "{}").is_err());
        client.post("127.0.0.1:1", "/", "{}").unwrap();
        assert!(server.join().unwrap().is_some());
    }

    #[test]
    fn an_untrusted_server_is_named() {
        let (port, server) = serve(&pki(1), EMPTY);
        let error = client(&pki(2)).post(&format!("127.0.0.1:{port}"), "/", "{}").unwrap_err();
        assert_eq!(
            error,
            ServerError::Untrusted {
                address: format!("127.0.0.1:{port}"),
                cause: "its certificate is signed by another CI of the same name".into(),
                way_out: fault::TRUST,
            }
        );
        assert_eq!(server.join().unwrap(), None);
        // Trusted CI, other name.
        let pki = pki(1);
        let (port, server) = serve(&pki, EMPTY);
        let hosts = [format!("smdp.example=127.0.0.1:{port}").parse().unwrap()];
        let trust = Trust::Cis(vec![pki.get(Role::Ci).unwrap().der().to_vec()]);
        let mut client = HttpsClient::new(&trust, &hosts).unwrap();
        let error = client.post(&format!("smdp.example:{port}"), "/", "{}").unwrap_err();
        assert!(error.to_string().contains("its certificate is for another name"), "{error}");
        assert_eq!(server.join().unwrap(), None);
    }

    #[test]
    fn an_unreachable_server_is_named() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = client(&pki(1)).post(&format!("127.0.0.1:{port}"), "/", "{}").unwrap_err();
        assert!(matches!(error, ServerError::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains("refused"), "{error}");
        assert!(matches!(client(&pki(1)).post("https://a", "/", "{}"), Err(ServerError::Address(_))));
    }

    /// A certificate signed by the same CI is not enough: it must be for TLS, of an SGP.22 server. SGP.22 §2.6.6.1,
    /// Annex K
    #[test]
    fn a_certificate_for_something_else_is_refused() {
        let pki = pki(1);
        let names = test_pki::ServerName::loopback();
        let ci = || vec![pki.get(Role::Ci).unwrap().der().to_vec()];
        let ask = |credential: &Credential, settings: Settings| {
            let (port, server) = serve_as(credential, |stream, _| stream.write_all(EMPTY.as_bytes()).is_ok());
            let answer = HttpsClient::with(&settings).unwrap().post(&format!("127.0.0.1:{port}"), "/", "{}");
            let _ = server.join();
            answer.map(|_| ()).map_err(|error| error.to_string())
        };
        let strict = || Settings::new(Trust::Cis(ci()));
        ask(pki.get(Role::DpTls).unwrap(), strict()).unwrap();
        let operator = pki.issue_operator(&names, now() - 60, &mut fill(8)).unwrap();
        let refused = ask(&operator, strict()).unwrap_err();
        assert!(refused.contains("not a CERT.DPtls or CERT.DStls; "), "{refused}");
        assert!(refused.ends_with("the operator has to fix that"), "{refused}");
        ask(&operator, Settings { roles: false, ..strict() }).unwrap();
        ask(&operator, Settings::new(Trust::Insecure)).unwrap();
    }

    /// A web certification authority, or a private one, is not a CI: below it there are no roles.
    #[test]
    fn another_certification_authority() {
        let mut parameters = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let own = parameters.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(parameters, key);
        let of_server = rcgen::KeyPair::generate().unwrap();
        let issue = |bend: &dyn Fn(&mut rcgen::CertificateParams)| {
            let mut parameters = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
            bend(&mut parameters);
            parameters.signed_by(&of_server, &issuer).unwrap().der().to_vec()
        };
        let ask = |certificate: Vec<u8>| {
            let answer = |stream: &mut dyn Write, _: &TcpStream| stream.write_all(EMPTY.as_bytes()).is_ok();
            let (port, server) = serve_with(&certificate, of_server.serialize_der(), answer);
            let mut client = HttpsClient::new(&Trust::Cis(vec![own.der().to_vec()]), &[]).unwrap();
            let answer = client.post(&format!("127.0.0.1:{port}"), "/", "{}");
            let _ = server.join();
            answer.map(|_| ()).map_err(|error| error.to_string())
        };
        ask(issue(&|_| {})).unwrap();
        ask(issue(&|parameters| parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth]))
            .unwrap();
        let client =
            ask(issue(&|parameters| parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth]));
        assert!(client.unwrap_err().contains("not for a TLS server"));
        let of_another_role = ask(issue(&|parameters| {
            let policies = [&[0x30, 0x0B, 0x30, 0x09, 0x06, 0x07][..], Role::DpPb.policy().octets()].concat();
            parameters.custom_extensions = vec![rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 32], policies)];
        }));
        assert!(of_another_role.unwrap_err().contains("but a CERT.DPpb"));
    }

    /// Policies marked critical by their issuer are processed here, so such a certificate is as good as another: in the
    /// chain, for the name and in the handshake, of TLS 1.2 and of TLS 1.3. SGP.22 §4.5.2.1
    #[test]
    fn critical_policies() {
        let policies = |role: Role| {
            let policies = [&[0x30, 0x0B, 0x30, 0x09, 0x06, 0x07][..], role.policy().octets()].concat();
            let mut extension = rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 32], policies);
            extension.set_criticality(true);
            extension
        };
        let mut parameters = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        parameters.custom_extensions = vec![policies(Role::Ci)];
        let key = rcgen::KeyPair::generate().unwrap();
        let ci = parameters.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(parameters, key);
        let of_server = rcgen::KeyPair::generate().unwrap();
        let issue = |role: Role, bend: &dyn Fn(&mut rcgen::CertificateParams)| {
            let mut parameters = rcgen::CertificateParams::default();
            // 127.0.0.1, and the OID 2.999.10.
            let names = [&[0x30, 0x0B, 0x87, 4, 127, 0, 0, 1][..], &[0x88, 3, 0x88, 0x37, 0x0A]].concat();
            let names = rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 17], names);
            parameters.custom_extensions = vec![policies(role), names];
            parameters.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
            parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
            bend(&mut parameters);
            parameters.signed_by(&of_server, &issuer).unwrap().der().to_vec()
        };
        let ask = |certificate: &[u8], settings: &Settings| {
            let answer = |stream: &mut dyn Write, _: &TcpStream| stream.write_all(EMPTY.as_bytes()).is_ok();
            let (port, server) = serve_with(certificate, of_server.serialize_der(), answer);
            let answer = HttpsClient::with(settings).unwrap().post(&format!("127.0.0.1:{port}"), "/", "{}");
            let _ = server.join();
            answer.map(|_| ()).map_err(|error| error.to_string())
        };
        let strict = Settings::new(Trust::Cis(vec![ci.der().to_vec()]));
        let good = issue(Role::DpTls, &|_| {});
        ask(&good, &strict).unwrap();
        let any = Settings { roles: false, ..strict.clone() };
        ask(&issue(Role::DpPb, &|_| {}), &any).unwrap();
        ask(&issue(Role::DpPb, &|_| {}), &Settings::new(Trust::Insecure)).unwrap();
        let refused = ask(&issue(Role::DpPb, &|_| {}), &strict).unwrap_err();
        assert!(refused.contains("not a CERT.DPtls or CERT.DStls but a CERT.DPpb"), "{refused}");
        let refused = ask(&good, &Settings::new(Trust::Cis(vec![pki(1).get(Role::Ci).unwrap().der().to_vec()])));
        assert!(refused.unwrap_err().contains("does not lead to a trusted CI"));
        let old = issue(Role::DpTls, &|parameters| parameters.not_after = rcgen::date_time_ymd(2020, 1, 1));
        assert!(ask(&old, &strict).unwrap_err().contains("has expired"));
        ask(&old, &Settings { validity: false, ..strict.clone() }).unwrap();
        let unknown = issue(Role::DpTls, &|parameters| {
            let mut extension = rcgen::CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
            extension.set_criticality(true);
            parameters.custom_extensions.push(extension);
        });
        for settings in [&strict, &any] {
            let refused = ask(&unknown, settings).unwrap_err();
            assert!(
                refused.contains("the critical extension 1.2.3.4 of the certificate is unknown (TLS)"),
                "{refused}"
            );
            assert!(!refused.ends_with(ROLE), "{refused}");
        }
        ask(&unknown, &Settings::new(Trust::Insecure)).unwrap();

        // The TLS 1.2 handshake is signed in another way.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = tls_config(&strict).unwrap();
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(resolver(&good, of_server.serialize_der().into()));
        let mut client = rustls::ClientConnection::new(Arc::new(client), "127.0.0.1".try_into().unwrap()).unwrap();
        let mut server = ServerConnection::new(Arc::new(server)).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut flight = Vec::new();
            client.write_tls(&mut flight).unwrap();
            server.read_tls(&mut &flight[..]).unwrap();
            server.process_new_packets().unwrap();
            flight.clear();
            server.write_tls(&mut flight).unwrap();
            client.read_tls(&mut &flight[..]).unwrap();
            client.process_new_packets().unwrap();
        }
        assert_eq!(client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
    }

    /// A certificate of the server, or of its CI, that has expired or is not valid yet.
    #[test]
    fn certificates_out_of_time() {
        let mut pki = pki(1);
        let (oid, names) = ("2.999.10".parse().unwrap(), test_pki::ServerName::loopback());
        let ask = |pki: &Pki, validity: bool| {
            let (port, server) = serve(pki, EMPTY);
            let trust = Trust::Cis(vec![pki.get(Role::Ci).unwrap().der().to_vec()]);
            let mut client = HttpsClient::with(&Settings { validity, ..Settings::new(trust) }).unwrap();
            let answer = client.post(&format!("127.0.0.1:{port}"), "/", "{}");
            let _ = server.join();
            answer.map(|_| ()).map_err(|error| error.to_string())
        };
        for (begin, words) in [(now() - 398 * 86_400, "has expired"), (now() + 86_400, "is not valid yet")] {
            pki.insert(Role::DpTls, pki.issue_tls(&names, &oid, begin, &mut fill(2)).unwrap());
            let refused = ask(&pki, true).unwrap_err();
            assert!(refused.contains(words) && refused.ends_with(CLOCK), "{refused}");
            ask(&pki, false).unwrap();
        }
        let parameters = Parameters::new(now() - 13_000 * 86_400, "89049032123451234512345678901235".parse().unwrap());
        let mut old = Pki::mint(&parameters, &mut fill(3)).unwrap();
        old.insert(Role::DpTls, old.issue_tls(&names, &oid, now() - 60, &mut fill(4)).unwrap());
        let refused = ask(&old, true).unwrap_err();
        assert!(refused.contains("of the CI its certificate leads to, the certificate has expired"), "{refused}");
        ask(&old, false).unwrap();
    }

    /// However it stalls, before the handshake or in the answer, and whatever length it announces.
    #[test]
    fn an_exchange_ends_in_time() {
        let pki = pki(1);
        let limit = Duration::from_millis(300);
        let trust = Trust::Cis(vec![pki.get(Role::Ci).unwrap().der().to_vec()]);
        let mut client = HttpsClient::with(&Settings { exchange_limit: limit, ..Settings::new(trust) }).unwrap();
        let (port, server) = serve_as(pki.get(Role::DpTls).unwrap(), |stream, _| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
            (0..1000).all(|_| {
                std::thread::sleep(Duration::from_millis(20));
                stream.write_all(b" ").and_then(|()| stream.flush()).is_ok()
            })
        });
        let error = client.post(&format!("127.0.0.1:{port}"), "/", "{}").unwrap_err();
        assert!(error.to_string().contains("has not answered completely within 0 s"), "{error}");
        assert!(error.is_temporary());
        drop(client);
        assert_eq!(server.join().unwrap(), None);
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = HttpsClient::new(&Trust::Insecure, &[]).unwrap();
        client.until(Some(Instant::now() + limit));
        let error = client.post(&silent.local_addr().unwrap().to_string(), "/", "{}").unwrap_err();
        assert!(error.to_string().contains("within the time for the whole download"), "{error}");
    }

    #[test]
    fn what_goes_wrong_on_the_way_is_told_in_plain_words() {
        let pki = pki(1);
        let ask = |answer: &'static str| {
            // The socket is closed without the TLS closure.
            let (port, server) = serve_as(pki.get(Role::DpTls).unwrap(), move |stream, socket| {
                let is_written = stream.write_all(answer.as_bytes()).and_then(|()| stream.flush()).is_ok();
                socket.shutdown(std::net::Shutdown::Both).is_ok() && is_written
            });
            let outcome = client(&pki).post(&format!("127.0.0.1:{port}"), "/", "{}");
            let _ = server.join();
            outcome.map_err(|error| error.to_string())
        };
        for (answer, words) in [
            ("HTTP/1.1 200 OK\r\n\r\n{}", "closed the connection without ending TLS"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}", "closed the connection"),
            ("HTTP/1.1 200", "closed the connection"),
            ("", "closed the connection"),
            ("220 smtp.example ready\r\n\r\n", "its answer is not HTTP"),
        ] {
            let error = ask(answer).unwrap_err();
            assert!(error.contains(words) && !error.contains("http"), "{answer}: {error}");
        }
        // A reached length is an end.
        assert_eq!(ask("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap().body, b"{}");

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let plain = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let _ = socket.read(&mut [0; 4096]);
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        });
        let error = client(&pki).post(&format!("127.0.0.1:{port}"), "/", "{}").unwrap_err().to_string();
        assert!(error.contains("does not speak TLS"), "{error}");
        plain.join().unwrap();
        let error = client(&pki).post("no-such-host.invalid", "/", "{}").unwrap_err().to_string();
        assert!(error.contains("its name cannot be resolved"), "{error}");
    }

    #[test]
    fn proxies_are_http() {
        let settings = Settings::new(Trust::Insecure);
        for proxy in ["", "socks5://127.0.0.1:1", "https://127.0.0.1:1", "ftp://x", "http://"] {
            let refused = HttpsClient::through(&settings, proxy).unwrap_err();
            assert_eq!(refused, HttpsError::GivenProxy, "{proxy}");
        }
        let mut client = HttpsClient::through(&settings, "http://user:secret@127.0.0.1:1").unwrap();
        let error = client.post("smdp.example", "/", "{}").unwrap_err().to_string();
        assert!(error.contains("the proxy cannot reach it: the connection was refused"), "{error}");
    }

    #[test]
    fn a_bad_ci_certificate() {
        assert!(matches!(HttpsClient::new(&Trust::Cis(vec![vec![0x30, 0]]), &[]), Err(HttpsError::Ci(_))));
    }
}
