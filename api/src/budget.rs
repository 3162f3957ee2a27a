//! The deployment's hourly budget, as far as the API decides on it: what a wish has to claim. Whether
//! there is room is decided where it is accepted, in one script.

use shared::model::cost::running_rate;
use shared::model::{Claim, Rate, Spec};
use shared::store::Record;

use crate::error::{ApiError, Problem};
use crate::wish::Wish;

/// What a create claims; nothing without a budget. `max_price` is the most that its caller lets it
/// cost, in 1/100 000 US dollars per hour.
///
/// # Errors
/// There is a budget, and the caller does not say.
pub(crate) fn of_create(
    budget: Option<Rate>,
    max_price: Option<u64>,
) -> Result<Option<Claim>, ApiError> {
    let Some(limit) = budget else {
        return Ok(None);
    };
    let Some(price) = max_price else {
        let message = "\"maxPricePerHour\" is required, because MAX_HOURLY_COST limits what all \
                       instances together may cost";
        return Err(ApiError::invalid(vec![Problem {
            field: "maxPricePerHour".to_owned(),
            message: message.to_owned(),
            value: None,
        }]));
    };
    Ok(Some(Claim::new(Rate::of_units(price), limit)))
}

/// The refusal of a wish that was claiming more than is left.
pub(crate) fn exceeded(reserved: Rate, spec: &Spec) -> ApiError {
    let nothing = Claim::new(Rate::ZERO, Rate::ZERO);
    let claim = spec.request.claim.unwrap_or(nothing);
    ApiError::OverBudget { reserved, claim }
}

/// What a change claims: a start claims what the instance costs while it runs.
pub(crate) fn of_change(budget: Option<Rate>, record: &Record, wish: Wish) -> Option<Claim> {
    let status = record.status.as_ref()?;
    let attempt = status.current().filter(|_| wish == Wish::Start)?;
    Some(Claim::new(running_rate(&record.spec, attempt), budget?))
}
