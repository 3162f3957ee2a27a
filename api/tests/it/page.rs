//! The web page and its files, as a browser gets them.

use http::Method;

use crate::harness::Api;

/// A file, its media type, and its policy.
async fn file(api: &Api, path: &str) -> (u16, String, String, String) {
    let answer = api.request(Method::GET, path).send().await.unwrap();
    let header = |name: &str| {
        let value = answer.headers().get(name);
        value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    };
    let (status, kind, policy) = (
        answer.status().as_u16(),
        header("content-type"),
        header("content-security-policy"),
    );
    (status, kind, policy, answer.text().await.unwrap())
}

#[tokio::test]
async fn every_file_that_a_page_names_is_served_and_nothing_comes_from_elsewhere() {
    let api = Api::start().await;
    for page in ["/", "/docs"] {
        let (status, kind, policy, html) = file(&api, page).await;
        assert_eq!((status, kind.as_str()), (200, "text/html; charset=utf-8"));
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        let named = html
            .split(['"', '\''])
            .filter(|word| word.starts_with('/') && word.contains('.'));
        let mut found = 0;
        for path in named {
            let (status, kind, ..) = file(&api, path).await;
            assert_eq!(status, 200, "{path}");
            let is_right = match path.rsplit('.').next() {
                Some("js") => kind.starts_with("text/javascript"),
                Some("css") => kind.starts_with("text/css"),
                _ => kind.starts_with("application/json"),
            };
            assert!(is_right, "{path}: {kind}");
            found += 1;
        }
        assert!(found >= 2, "{page} names {found} files");
        for word in ["http://", "https://", "<style", "onclick", "style="] {
            assert!(!html.contains(word), "{page} has {word}");
        }
    }
}

#[tokio::test]
async fn scripts_make_no_markup_of_texts_and_keep_no_key() {
    let api = Api::start().await;
    for script in ["/app.js", "/webhooks.js", "/docs.js"] {
        let (.., text) = file(&api, script).await;
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "eval(",
            "localStorage",
            "sessionStorage",
            "cookie",
        ] {
            assert!(!text.contains(word), "{script} has {word}");
        }
    }
}
