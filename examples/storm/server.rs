//! The server that the service runs on, as it is named on command lines.

/// Which broker: a file of the service's own, unless a server is named.
#[derive(Clone, Default)]
pub(crate) struct Server(Option<(String, String)>);

impl Server {
    pub(crate) fn of(name: Option<String>, url: Option<String>) -> Result<Server, String> {
        match (name.filter(|name| name != "sqlite"), url) {
            (None, None) => Ok(Server(None)),
            (Some(name), Some(url)) => Ok(Server(Some((name, url)))),
            _ => Err("--broker and --broker-url belong together (and neither is needed for sqlite)".into()),
        }
    }

    pub(crate) fn is_file(&self) -> bool {
        self.0.is_none()
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        self.0.as_ref().map_or("sqlite", |(name, _)| name)
    }

    /// For the service's command line, and its audit's.
    pub(crate) fn flags(&self) -> Vec<&str> {
        self.0.iter().flat_map(|(name, url)| ["--broker", name, "--broker-url", url]).collect()
    }
}
