//! The provider's address, in any of the forms people write it.

use url::Url;

/// Path of the GPU API's first version below the host.
const GPU_V1: &str = "/gpu-instance/openapi/v1";

/// The text is not an `http` or `https` URL, or it has a query, a fragment or credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an http or https URL without query, fragment or credentials")]
pub struct InvalidBaseUrl;

/// Turns `https://api.novita.ai`, with or without `/gpu-instance/openapi`, `/v1` and a final
/// slash, into the base of the GPU endpoints, without a final slash.
pub(super) fn gpu_v1(text: &str) -> Result<String, InvalidBaseUrl> {
    let url = Url::parse(text).map_err(|_| InvalidBaseUrl)?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if !plain {
        return Err(InvalidBaseUrl);
    }
    let base = url.as_str().trim_end_matches('/');
    let base = base.strip_suffix("/v1").unwrap_or(base);
    let base = base.strip_suffix("/gpu-instance/openapi").unwrap_or(base);
    Ok(format!("{base}{GPU_V1}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_customary_form_means_the_same_base() {
        for text in [
            "https://api.novita.ai",
            "https://api.novita.ai/",
            "https://api.novita.ai/gpu-instance/openapi",
            "https://api.novita.ai/gpu-instance/openapi/",
            "https://api.novita.ai/gpu-instance/openapi/v1",
            "https://api.novita.ai/gpu-instance/openapi/v1/",
        ] {
            assert_eq!(
                gpu_v1(text).unwrap(),
                "https://api.novita.ai/gpu-instance/openapi/v1"
            );
        }
        assert_eq!(
            gpu_v1("http://127.0.0.1:9000/behind/").unwrap(),
            "http://127.0.0.1:9000/behind/gpu-instance/openapi/v1"
        );
    }

    #[test]
    fn what_cannot_be_a_base_is_refused() {
        for text in [
            "",
            "api.novita.ai",
            "ftp://api.novita.ai",
            "https://key@api.novita.ai",
            "https://api.novita.ai/?x=1",
            "https://api.novita.ai/#x",
        ] {
            assert_eq!(gpu_v1(text), Err(InvalidBaseUrl), "{text}");
        }
    }
}
