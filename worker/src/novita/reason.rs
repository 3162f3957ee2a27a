//! The provider's error codes, and what each asks of a caller.

use super::words::words;

words! {
    /// The `reason` of an error (Novita API reference, GPU error codes, and those only its web
    /// console names). Codes of account management and of products we do not use are not listed.
    Reason {
        /// No free host for the product, cluster or CUDA version; on create and on start.
        InsufficientResource = "INSUFFICIENT_RESOURCE",
        /// No target host for a migration.
        MigrateInsufficientResource = "MIGRATE_INSUFFICIENT_RESOURCE",
        /// The GPU specification is taken.
        GpuSpecUsed = "GPU_SPEC_USED",
        /// The cluster is in a wrong state.
        ClusterStatus = "CLUSTER_STATUS",
        /// The node is in a wrong state.
        NodeStatus = "NODE_STATUS",
        /// Something the instance depends on is in a wrong state.
        DependentResourceState = "DEPENDENT_RESOURCE_STATE",
        /// The product is not sold in this billing mode.
        UnsupportedBillingMode = "UNSUPPORTED_BILLING_MODE",
        /// No host has the CUDA version.
        CudaVersionIncompatible = "CUDA_VERSION_INCOMPATIBLE",

        /// The balance is too low.
        BalanceNotEnough = "BALANCE_NOT_ENOUGH",
        /// The balance is too low or a subscription ended.
        ExpiredOrBalanceNotEnough = "EXPIRED_OR_BALANCE_NOT_ENOUGH",
        /// The balance is too low.
        NotEnoughBalance = "NOT_ENOUGH_BALANCE",
        /// A budget is used up.
        BudgetNotEnough = "BUDGET_NOT_ENOUGH",
        /// A team member's budget is used up.
        MemberBudgetNotEnough = "MEMBER_BUDGET_NOT_ENOUGH",
        /// The balance allows no more instances.
        CreateInstanceLimit = "CREATE_INSTANCE_LIMIT",
        /// The quota of concurrent GPUs is used up.
        CreateGpuNumLimit = "CREATE_GPU_NUM_LIMIT",
        /// The account is not verified.
        IdentifyNotDone = "IDENTIFY_NOT_DONE",

        /// No or wrong credentials.
        Unauthorized = "UNAUTHORIZED",
        /// Not allowed for these credentials.
        Forbidden = "FORBIDDEN",
        /// No or wrong API key, as the shared gateway says it.
        InvalidApiKey = "INVALID_API_KEY",
        /// The token could not be read.
        GetTokenFailed = "GET_TOKEN_FAILED",
        /// The token is not valid.
        InvalidUserToken = "INVALID_USER_TOKEN",
        /// The account is banned.
        BannedUser = "BANNED_USER",
        /// The account is not activated.
        UserNotActivated = "USER_NOT_ACTIVATED",

        /// A field failed validation.
        ValidatorParam = "VALIDATOR_PARAM",
        /// A field failed validation.
        Validator = "VALIDATOR",
        /// A malformed request.
        Request = "REQUEST",
        /// A body that is not JSON.
        InvalidRequestBody = "INVALID_REQUEST_BODY",
        /// The start command was rejected.
        InvalidCommandParam = "INVALID_COMMAND_PARAM",
        /// The image does not exist.
        ImageNotFound = "IMAGE_NOT_FOUND",
        /// The image reference or its credentials are wrong.
        ImageUrlOrAuthError = "IMAGE_URL_OR_AUTH_ERROR",
        /// The image is too large.
        ImageTooLarge = "IMAGE_TOO_LARGE",
        /// The template is somebody else's.
        TemplateIsPrivate = "TEMPLATE_IS_PRIVATE",
        /// The network volume does not exist.
        NetworkStorageNotFound = "NETWORK_STORAGE_NOT_FOUND",
        /// The network volume cannot be used now.
        NetworkStorageUnavailable = "NETWORK_STORAGE_UNAVAILABLE",
        /// The cluster has no network volumes.
        ClusterNetworkStorageNotSupport = "CUR_CLUSTER_NETWORK_STORAGE_NOT_SUPPORT",
        /// The VPC network does not exist.
        NetworkNotFound = "NETWORK_NOT_FOUND",

        /// The thing named does not exist.
        ResourceNotFound = "RESOURCE_NOT_FOUND",
        /// The same; the spelling is the provider's.
        NotFount = "NOT_FOUNT",
        /// The template does not exist.
        TemplateNotFound = "TEMPLATE_NOT_FOUND",

        /// A state or name conflict.
        Conflict = "CONFLICT",
        /// Not permitted in this state, or a limit is reached.
        OperationLimit = "OPERATION_LIMIT",
        /// A monthly instance cannot be deleted.
        PrepaidNotReleasable = "PREPAID_INSTANCE_NOT_SUPPORT_RELEASE",
        /// The local disk of a stopped instance is gone.
        LocalStorageNotFound = "INSTANCE_LOCAL_STORAGE_NOT_FOUND",

        /// Too many requests, or, on create, a quota.
        RateLimitExceeded = "RATE_LIMIT_EXCEEDED",
    }
}

/// What to do about a [`Reason`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReasonClass {
    /// This offer cannot be had now; another product or cluster may do.
    NextOffer,
    /// The account's money or quota is used up: no other offer will help.
    Account,
    /// The API key, or the account behind it, is not accepted: nothing will help.
    Credentials,
    /// The request itself is wrong and stays wrong.
    Caller,
    /// What it names does not exist.
    Gone,
    /// It does not fit the instance's state; read the instance before judging.
    State,
    /// Too fast.
    Pacing,
    /// Not a code we know.
    Unknown,
}

impl Reason {
    /// What to do about it.
    #[must_use]
    pub fn class(&self) -> ReasonClass {
        match self {
            Self::InsufficientResource
            | Self::MigrateInsufficientResource
            | Self::GpuSpecUsed
            | Self::ClusterStatus
            | Self::NodeStatus
            | Self::DependentResourceState
            | Self::UnsupportedBillingMode
            | Self::CudaVersionIncompatible => ReasonClass::NextOffer,
            Self::BalanceNotEnough
            | Self::ExpiredOrBalanceNotEnough
            | Self::NotEnoughBalance
            | Self::BudgetNotEnough
            | Self::MemberBudgetNotEnough
            | Self::CreateInstanceLimit
            | Self::CreateGpuNumLimit
            | Self::IdentifyNotDone => ReasonClass::Account,
            Self::Unauthorized
            | Self::Forbidden
            | Self::InvalidApiKey
            | Self::GetTokenFailed
            | Self::InvalidUserToken
            | Self::BannedUser
            | Self::UserNotActivated => ReasonClass::Credentials,
            Self::ValidatorParam
            | Self::Validator
            | Self::Request
            | Self::InvalidRequestBody
            | Self::InvalidCommandParam
            | Self::ImageNotFound
            | Self::ImageUrlOrAuthError
            | Self::ImageTooLarge
            | Self::TemplateIsPrivate
            | Self::NetworkStorageNotFound
            | Self::NetworkStorageUnavailable
            | Self::ClusterNetworkStorageNotSupport
            | Self::NetworkNotFound => ReasonClass::Caller,
            Self::ResourceNotFound | Self::NotFount | Self::TemplateNotFound => ReasonClass::Gone,
            Self::Conflict
            | Self::OperationLimit
            | Self::PrepaidNotReleasable
            | Self::LocalStorageNotFound => ReasonClass::State,
            Self::RateLimitExceeded => ReasonClass::Pacing,
            Self::Unknown(_) => ReasonClass::Unknown,
        }
    }
}
