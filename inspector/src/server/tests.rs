//! The server, asked by pages, by other sites and by strangers.

use axum::body::Body;
use axum::http::Request;
use tower::ServiceExt as _;

use super::*;

const TOKEN: &str = "a-token-of-this-test";
const HOST: &str = "127.0.0.1:4711";

/// A card of which nothing is known, and which takes note of nothing.
struct Blank;

impl Subject for Blank {
    fn card(&self) -> Result<Value, Refusal> {
        Ok(json!({ "name": "a\u{202e}b" }))
    }

    fn file(&self, domain: u16, file: u16) -> Result<Value, Refusal> {
        Ok(json!([domain, file]))
    }

    fn act(&self, act: &Act) -> Result<String, Refusal> {
        match act {
            Act::Reset => Ok("the card is reset".into()),
            _ => Err(Refusal::because("it cannot be done")),
        }
    }

    fn state(&self) -> Value {
        Value::Null
    }

    fn changes(&self) -> Vec<Value> {
        Vec::new()
    }
}

fn inspector() -> Inspector {
    let token = Zeroizing::new(TOKEN.to_owned());
    Inspector::new(Arc::new(Blank), Arc::default(), token, HOST.parse().unwrap())
}

async fn ask_on(inspector: &Inspector, request: Request<Body>) -> (u16, String, HeaderMap) {
    let response = inspector.router().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    (parts.status.as_u16(), String::from_utf8(body.to_vec()).unwrap(), parts.headers)
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

const BEARER: (&str, &str) = ("authorization", "Bearer a-token-of-this-test");

async fn status(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> u16 {
    ask_on(&inspector(), request(method, path, headers, body)).await.0
}

#[tokio::test]
async fn without_the_token_nothing_is_told() {
    for path in ["/api/card", "/api/file?domain=0&file=0", "/api/events"] {
        for wrong in [
            None,
            Some("Bearer "),
            Some("Bearer a-token-of-this-tes"),
            Some("Bearer A-TOKEN-OF-THIS-TEST"),
            Some(TOKEN),
        ] {
            let mut headers = vec![("host", HOST)];
            headers.extend(wrong.map(|wrong| ("authorization", wrong)));
            assert_eq!(status("GET", path, &headers, "").await, 401, "{path} {wrong:?}");
        }
        // In the address it would stand in logs and histories.
        let with_token = format!("{path}{}token={TOKEN}", if path.contains('?') { '&' } else { '?' });
        assert_eq!(status("GET", &with_token, &[("host", HOST)], "").await, 401, "{with_token}");
    }
    assert_eq!(status("POST", "/api/act", &[("host", HOST)], "{\"act\":\"cut\"}").await, 401);
    assert_eq!(status("GET", "/api/card", &[("host", HOST), BEARER], "").await, 200);
    let small = ("authorization", "bearer  a-token-of-this-test");
    assert_eq!(status("GET", "/api/card", &[("host", HOST), small], "").await, 200, "schemes have no case");
    for two in [[BEARER, ("authorization", "Bearer x")], [BEARER, BEARER]] {
        assert_eq!(status("GET", "/api/card", &[("host", HOST), two[0], two[1]], "").await, 401, "{two:?}");
    }
}

#[tokio::test]
async fn another_name_does_not_lead_here() {
    for host in
        ["evil.example:4711", "127.0.0.1", "127.0.0.1:4712", "127.0.0.1.evil.example:4711", "", "localhost.:4711"]
    {
        for path in ["/", "/api/card"] {
            assert_eq!(status("GET", path, &[("host", host), BEARER], "").await, 421, "{host}{path}");
        }
    }
    assert_eq!(status("GET", "/", &[], "").await, 421, "without any");
    for target in ["http://evil.example/", "http://evil.example:4711/api/card"] {
        assert_eq!(status("GET", target, &[("host", HOST), BEARER], "").await, 421, "{target}");
    }
    assert_eq!(status("GET", "http://127.0.0.1:4711/api/card", &[("host", HOST), BEARER], "").await, 200);
    assert_eq!(status("GET", "/", &[("host", HOST), ("host", "evil.example")], "").await, 421, "two of them");
    for host in [HOST, "localhost:4711", "LOCALHOST:4711", "[::1]:4711"] {
        assert_eq!(status("GET", "/", &[("host", host)], "").await, 200, "{host}");
    }
}

#[tokio::test]
async fn other_sites_have_no_business_here() {
    for foreign in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("origin", "https://127.0.0.1:4711"),
        ("origin", "http://127.0.0.1:4712"),
        ("origin", "http://localhost:4711"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        for (method, path) in [("GET", "/"), ("GET", "/api/card"), ("POST", "/api/act")] {
            assert_eq!(status(method, path, &[("host", HOST), BEARER, foreign], "{}").await, 403, "{foreign:?} {path}");
        }
    }
    for own in [("origin", "http://127.0.0.1:4711"), ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "none")] {
        assert_eq!(status("GET", "/api/card", &[("host", HOST), BEARER, own], "").await, 200, "{own:?}");
    }
}

/// A form of another site can send text, and nothing else without asking.
#[tokio::test]
async fn acts_are_json_that_is_understood() {
    let json = ("content-type", "application/json");
    let act = |kind, body: &'static str| async move {
        status("POST", "/api/act", &[("host", HOST), BEARER, kind], body).await
    };
    assert_eq!(act(json, "{\"act\":\"reset\"}").await, 200);
    assert_eq!(act(json, "{\"act\":\"cut\"}").await, 409);
    assert_eq!(act(("content-type", "text/plain"), "{\"act\":\"reset\"}").await, 415);
    assert_eq!(act(("content-type", "application/x-www-form-urlencoded"), "act=reset").await, 415);
    for wrong in
        ["", "{", "[]", "{\"act\":\"explode\"}", "{\"act\":\"update\"}", "{\"act\":\"update\",\"domain\":70000}"]
    {
        assert_eq!(act(json, wrong).await, 400, "{wrong}");
    }
    let pin = "{\"act\":\"update\",\"domain\":0,\"file\":0,\"octets\":\"\",\"keys\":[{\"reference\":\"x\",\"value\":\"4711\"}]}";
    let (refused, told, _) =
        ask_on(&inspector(), request("POST", "/api/act", &[("host", HOST), BEARER, json], pin)).await;
    assert!(refused == 400 && !told.contains("4711"), "{told}");
    let long = format!("{{\"act\":\"fault\",\"fault\":\"{}\"}}", "x".repeat(LONGEST));
    assert_eq!(status("POST", "/api/act", &[("host", HOST), BEARER, json], &long).await, 413);
}

/// A body of which nothing comes.
struct Silent;

impl hyper::body::Body for Silent {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

#[tokio::test]
async fn what_is_too_long_is_not_waited_for() {
    let headers = [("host", HOST), BEARER, ("content-type", "application/json"), ("content-length", "5000000")];
    let request = request("POST", "/api/act", &headers, "").map(|_| Body::new(Silent));
    assert_eq!(ask_on(&inspector(), request).await.0, 413);
}

/// A card that answers when it is let.
struct Slow(std::sync::Mutex<std::sync::mpsc::Receiver<()>>);

impl Subject for Slow {
    fn card(&self) -> Result<Value, Refusal> {
        self.0.lock().unwrap().recv().unwrap();
        Ok(Value::Null)
    }

    fn file(&self, _: u16, _: u16) -> Result<Value, Refusal> {
        Ok(Value::Null)
    }

    fn act(&self, _: &Act) -> Result<String, Refusal> {
        Ok(String::new())
    }

    fn state(&self) -> Value {
        Value::Null
    }

    fn changes(&self) -> Vec<Value> {
        Vec::new()
    }
}

/// A page hears that its card is slow, and no more is asked of that at a time than otherwise.
#[tokio::test]
async fn a_slow_card_is_not_waited_for_without_end() {
    let (let_go, wait) = std::sync::mpsc::channel();
    let token = Zeroizing::new(TOKEN.to_owned());
    let slow = Arc::new(Slow(wait.into()));
    let mut inspector = Inspector::new(slow, Arc::default(), token, HOST.parse().unwrap());
    inspector.longest_wait = Duration::from_millis(1);
    let ask = async |inspector: &Inspector| {
        ask_on(inspector, request("GET", "/api/card", &[("host", HOST), BEARER], "")).await.0
    };
    assert_eq!(ask(&inspector).await, 504);
    assert_eq!(inspector.questions.available_permits(), QUESTIONS - 1, "the card is still busy with it");
    let_go.send(()).unwrap();
    let_go.send(()).unwrap();
    inspector.longest_wait = WAIT;
    assert_eq!(ask(&inspector).await, 200);
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused() {
    for (method, path, expected) in [
        ("GET", "/api/file", 400),
        ("GET", "/api/file?domain=0", 400),
        ("GET", "/api/file?domain=-1&file=0", 400),
        ("GET", "/api/file?domain=0&file=65536", 400),
        ("GET", "/api/file?domain=1&file=2", 200),
        ("GET", "/api/events?after=x", 400),
        ("GET", "/api/events?after=-1", 400),
        ("GET", "/api/act", 405),
        ("POST", "/api/card", 405),
        ("DELETE", "/api/card", 405),
        ("GET", "/api", 404),
        ("GET", "/../etc/passwd", 404),
        ("GET", "/main.js/", 404),
    ] {
        assert_eq!(status(method, path, &[("host", HOST), BEARER], "").await, expected, "{method} {path}");
    }
}

#[tokio::test]
async fn every_answer_is_guarded() {
    for path in ["/", "/style.css", "/main.js", "/api/card", "/nowhere"] {
        let (_, _, headers) = ask_on(&inspector(), request("GET", path, &[("host", HOST)], "")).await;
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert!(!headers.contains_key("set-cookie") && !headers.contains_key("access-control-allow-origin"), "{path}");
    }
}

/// Nothing is loaded from elsewhere, and nothing stands in the page that its policy forbids.
#[test]
fn the_page_is_whole() {
    for asset in ASSETS {
        for foreign in ["http://", "https://", "@import", "eval(", "innerHTML", "document.write", "<style", " style=\""]
        {
            let text = asset.text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains(foreign), "{}: {foreign}", asset.path);
        }
    }
    let page = ASSETS[0].text;
    assert!(!page.contains("<script>") && !page.contains("onclick"), "no script in the page itself");
}

#[tokio::test]
async fn names_from_outside_cannot_steer() {
    let (_, told, _) = ask_on(&inspector(), request("GET", "/api/card", &[("host", HOST), BEARER], "")).await;
    assert_eq!(told, "{\"name\":\"a\\\\u{202e}b\"}");
}

/// Each has a place until it is gone; then another may come.
#[tokio::test]
async fn listeners_have_places() {
    let inspector = inspector();
    let listen = || async {
        let request = request("GET", "/api/events", &[("host", HOST), BEARER], "");
        inspector.router().oneshot(request).await.unwrap()
    };
    let mut open = Vec::new();
    for _ in 0..LISTENERS {
        let response = listen().await;
        assert_eq!(response.status().as_u16(), 200);
        open.push(response);
    }
    assert_eq!(listen().await.status().as_u16(), 503);
    open.pop();
    assert_eq!(listen().await.status().as_u16(), 200);
}

#[test]
fn the_address_has_the_token_behind_a_hash() {
    assert_eq!(inspector().address().as_str(), "http://127.0.0.1:4711/#a-token-of-this-test");
}
