//! What is beyond a modem: nothing, an operator, or what is said to be a network.

use clap::Args;
use modem::Coverage;
use modem::network::Request;

use super::thread::Start;
use crate::Context;
use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkArguments {
    /// Register with the operator at this address, which authenticates the card; messages go there and come from there
    /// [default: there is no network]
    #[cfg(feature = "operator")]
    #[arg(long, value_name = "URL", conflicts_with = "simulate_network")]
    operator: Option<String>,
    /// Trust an operator that is certified by this CA (DER or PEM); repeat for more [default: the CI of the PKI]
    #[cfg(feature = "operator")]
    #[arg(long, value_name = "FILE", requires = "operator")]
    ca: Vec<std::path::PathBuf>,
    #[cfg(feature = "operator")]
    #[command(flatten)]
    pki: crate::pki::PkiArguments,
    /// Say that the card is registered at home though nothing has authenticated it: for programs that only want to see a
    /// network. Messages are refused
    #[arg(long)]
    simulate_network: bool,
}

impl NetworkArguments {
    pub(super) fn coverage(&self) -> Coverage {
        if self.simulate_network {
            return Coverage::Simulated;
        }
        #[cfg(feature = "operator")]
        if self.operator.is_some() {
            return Coverage::Real;
        }
        Coverage::None
    }

    /// What takes the requests of a modem with this card.
    #[cfg_attr(
        not(feature = "operator"),
        expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "without an operator there is nobody to ask")
    )]
    pub(super) fn start(
        &self,
        start: &Start,
        card: &str,
        context: &Context,
    ) -> Result<Box<dyn Fn(Request) + Send>, Failure> {
        #[cfg(feature = "operator")]
        if let Some(base) = &self.operator {
            return self.attach(base, start, card, context);
        }
        let (_, _, _) = (start, card, context);
        // Nobody is asked.
        Ok(Box::new(drop))
    }

    #[cfg(feature = "operator")]
    fn attach(
        &self,
        base: &str,
        start: &Start,
        card: &str,
        context: &Context,
    ) -> Result<Box<dyn Fn(Request) + Send>, Failure> {
        use super::operator::{Network, Teller};
        let cis = if self.ca.is_empty() {
            vec![self.pki.open(context)?.get(rsp::certificate::Role::Ci)?.der().to_vec()]
        } else {
            self.ca.iter().map(|path| crate::lpa::ci(path)).collect::<Result<_, _>>()?
        };
        let http = device::http::HttpsClient::new(&lpa::Trust::Cis(cis))?;
        let teller = Teller { output: context.output, card: card.to_owned() };
        let network = Network::start(base.to_owned(), http, std::sync::Arc::new(start.ear()), teller)?;
        Ok(Box::new(move |request| network.ask(request)))
    }
}
