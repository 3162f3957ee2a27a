//! Which endpoint a request is for.

use http::Method;
use serde::{Deserialize, Serialize};

/// Where version 1 of the GPU API lives.
pub(crate) const BASE: &str = "/gpu-instance/openapi/v1";

/// The endpoints of the simulator, under the names that faults and the request log use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Route {
    /// `POST /gpu/instance/create`
    Create,
    /// `GET /gpu/instance`
    Get,
    /// `GET /gpu/instances`
    List,
    /// `POST /gpu/instance/start`
    Start,
    /// `POST /gpu/instance/stop`
    Stop,
    /// `POST /gpu/instance/restart`
    Restart,
    /// `POST /gpu/instance/delete`
    Delete,
    /// `POST /gpu/instance/migrate`
    Migrate,
    /// `GET /products`
    Products,
    /// `GET /clusters`
    Clusters,
    /// `GET /template`
    Template,
    /// `GET /templates`
    Templates,
    /// `GET /repository/auths`
    Auths,
    /// `GET /jobs`
    Jobs,
}

/// Why a request is for none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoute {
    UnknownPath,
    WrongMethod,
}

impl Route {
    pub(crate) fn of(method: &Method, path: &str) -> Result<Self, NoRoute> {
        let route = match path.strip_prefix(BASE).ok_or(NoRoute::UnknownPath)? {
            "/gpu/instance/create" => Self::Create,
            "/gpu/instance" => Self::Get,
            "/gpu/instances" => Self::List,
            "/gpu/instance/start" => Self::Start,
            "/gpu/instance/stop" => Self::Stop,
            "/gpu/instance/restart" => Self::Restart,
            "/gpu/instance/delete" => Self::Delete,
            "/gpu/instance/migrate" => Self::Migrate,
            "/products" => Self::Products,
            "/clusters" => Self::Clusters,
            "/template" => Self::Template,
            "/templates" => Self::Templates,
            "/repository/auths" => Self::Auths,
            "/jobs" => Self::Jobs,
            _ => return Err(NoRoute::UnknownPath),
        };
        let expected = if route.is_action() {
            Method::POST
        } else {
            Method::GET
        };
        if *method == expected {
            Ok(route)
        } else {
            Err(NoRoute::WrongMethod)
        }
    }

    /// Actions are POST with a JSON body, everything else is GET.
    pub(crate) fn is_action(self) -> bool {
        match self {
            Self::Create
            | Self::Start
            | Self::Stop
            | Self::Restart
            | Self::Delete
            | Self::Migrate => true,
            Self::Get
            | Self::List
            | Self::Products
            | Self::Clusters
            | Self::Template
            | Self::Templates
            | Self::Auths
            | Self::Jobs => false,
        }
    }
}
