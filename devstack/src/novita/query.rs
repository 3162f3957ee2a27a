//! Query parameters and pages, with the tolerance and the limits of the real service.

use super::error::ApiError;

const DEFAULT_PAGE_SIZE: usize = 10;

/// Decoded parameters; an empty value counts as absent, an unknown name is never looked at.
#[derive(Debug)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub(crate) fn parse(raw: &str) -> Self {
        Self {
            pairs: url::form_urlencoded::parse(raw.as_bytes())
                .into_owned()
                .collect(),
        }
    }

    pub(crate) fn text(&self, name: &str, max: usize) -> Result<Option<&str>, ApiError> {
        let found = self
            .pairs
            .iter()
            .find(|(key, value)| key == name && !value.is_empty());
        match found {
            Some((_, value)) if value.chars().count() > max => Err(ApiError::invalid(
                name,
                &format!("at most {max} characters"),
            )),
            found => Ok(found.map(|(_, value)| value.as_str())),
        }
    }

    /// A fuzzy filter: the text in lower case.
    pub(crate) fn fuzzy(&self, name: &str) -> Result<Option<String>, ApiError> {
        Ok(self.text(name, 255)?.map(str::to_lowercase))
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let parse = |text: &str| {
            text.parse::<u64>()
                .map_err(|_| ApiError::invalid(name, "must be an integer >= 0"))
        };
        self.text(name, 32)?.map(parse).transpose()
    }

    pub(crate) fn one_of(&self, name: &str, words: &[&str]) -> Result<Option<&str>, ApiError> {
        match self.text(name, 63)? {
            Some(word) if !words.contains(&word) => Err(ApiError::invalid(name, "unknown value")),
            found => Ok(found),
        }
    }
}

/// Whether a fuzzy filter, if any, lets `text` through.
pub(crate) fn matches(filter: Option<&str>, text: &str) -> bool {
    filter.is_none_or(|part| text.to_lowercase().contains(part))
}

/// A window on a list. Pages 0 and 1 are both the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) size: usize,
    pub(crate) number: usize,
}

impl Page {
    /// Reads `pageSize` and `pageNum`; a size of 0 is the default, one above `max_size` is `max_size`.
    pub(crate) fn read(query: &Query, max_size: usize) -> Result<Self, ApiError> {
        let size = query.number("pageSize")?.unwrap_or(0) as usize;
        let size = if size == 0 { DEFAULT_PAGE_SIZE } else { size };
        let number = query.number("pageNum")?.unwrap_or(0) as usize;
        Ok(Self {
            size: size.min(max_size.max(1)),
            number: number.max(1),
        })
    }

    pub(crate) fn of<T>(self, items: &[T]) -> &[T] {
        let start = self.size.saturating_mul(self.number - 1).min(items.len());
        let end = start.saturating_add(self.size).min(items.len());
        &items[start..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(raw: &str) -> Page {
        Page::read(&Query::parse(raw), 100).unwrap()
    }

    #[test]
    fn pages_zero_and_one_are_the_first_and_unknown_parameters_are_ignored() {
        let first = Page {
            size: 10,
            number: 1,
        };
        for raw in [
            "",
            "pageNum=0",
            "pageNum=1&pageSize=0",
            "page=3&page_size=5",
            "pageSize=",
        ] {
            assert_eq!(page(raw), first, "{raw}");
        }
        assert_eq!(page("pageSize=1000").size, 100);
    }

    #[test]
    fn a_page_beyond_the_end_is_empty() {
        let items = [1, 2, 3];
        assert_eq!(page("pageSize=2&pageNum=2").of(&items), [3]);
        assert!(page("pageSize=2&pageNum=3").of(&items).is_empty());
        assert!(
            page("pageSize=2&pageNum=18446744073709551615")
                .of(&items)
                .is_empty()
        );
    }

    #[test]
    fn garbage_is_refused() {
        assert!(Page::read(&Query::parse("pageSize=ten"), 100).is_err());
        assert!(Page::read(&Query::parse("pageNum=-1"), 100).is_err());
    }
}
