//! The cooldown of a source after a failure.

use super::*;
use crate::simulator::{Mode, RequestKind};

#[tokio::test]
async fn a_refused_sign_in_starts_a_cooldown() {
    let served = serve(Simulator::new(1)).await;
    served.simulator.set_password("changed");
    let source = orderwise(&served.url());
    for second in 0..36 {
        let error = source.fetch(at(second)).await.unwrap_err();
        assert_eq!(error.failure, Failure::Auth);
        assert_eq!(error.asked, [0, 5, 15, 35].contains(&second), "second {second}");
    }
    assert_eq!(served.simulator.count(RequestKind::Token), 4);
    served.simulator.set_password(PASSWORD);
    failed(source.fetch(at(74)).await, Failure::Auth, "next attempt not before 2027-01-15 08:01:15 UTC");
    source.fetch(at(75)).await.unwrap();
    served.simulator.fail(Mode::Unauthorized, Some(1));
    served.simulator.revoke_tokens();
    source.fetch(at(76)).await.unwrap_err();
    assert!(source.fetch(at(81)).await.is_ok(), "a success resets the waits");
}

#[tokio::test]
async fn sources_of_one_system_with_the_same_credential_share_a_cooldown() {
    let served = serve(Simulator::new(1)).await;
    let mut systems = Systems::default();
    let mut source = |base_url: &str, password: &str| {
        let credential =
            ApiCredential::Password { username: USERNAME.to_owned(), password: Secret::given(password.to_owned()) };
        OrderWise::of(&mut systems, "erp", OrderWiseOptions { credential, ..options(base_url) }).unwrap()
    };
    let wrong = [source(&served.url(), "wrong"), source(&format!("{}/owapi/", served.root), "wrong")];
    let right = source(&served.url(), PASSWORD);
    assert_eq!(wrong[0].system(), wrong[1].system());
    for second in 0..15 {
        for (number, source) in wrong.iter().enumerate() {
            let error = source.fetch(at(second)).await.unwrap_err();
            let first = number == 0 && [0, 5].contains(&second);
            assert_eq!((error.failure, error.asked), (Failure::Auth, first), "second {second}");
        }
        right.fetch(at(second)).await.unwrap();
    }
    assert_eq!(served.simulator.count(RequestKind::Token), 3, "two that were refused, and one that was not");
}

#[tokio::test]
async fn a_reload_ends_a_cooldown_only_after_a_refused_sign_in_and_for_another_password() {
    let served = serve(Simulator::new(1)).await;
    let mut systems = Systems::default();
    let mut reloaded = |name: &str, password: &str| {
        systems = systems.carried_over();
        let credential =
            ApiCredential::Password { username: USERNAME.to_owned(), password: Secret::given(password.to_owned()) };
        OrderWise::of(&mut systems, name, OrderWiseOptions { credential, ..options(&served.url()) }).unwrap()
    };
    assert!(reloaded("erp", "wrong").fetch(at(0)).await.unwrap_err().asked);
    for second in 1..5 {
        assert!(!reloaded("erp", "wrong").fetch(at(second)).await.unwrap_err().asked);
    }
    assert!(reloaded("erp", "wrong").fetch(at(5)).await.unwrap_err().asked);
    assert!(!reloaded("erp", "wrong").fetch(at(14)).await.unwrap_err().asked, "the wait has doubled");
    reloaded("erp", PASSWORD).fetch(at(14)).await.unwrap();

    served.simulator.fail(Mode::RateLimited(Some("30".to_owned())), Some(1));
    assert!(reloaded("erp", PASSWORD).fetch(at(20)).await.unwrap_err().asked);
    for password in [PASSWORD, "another"] {
        failed(reloaded("erp", password).fetch(at(49)).await, Failure::RateLimited, "08:00:50 UTC");
    }
    reloaded("other", PASSWORD).fetch(at(49)).await.unwrap();
    reloaded("erp", PASSWORD).fetch(at(50)).await.unwrap();
}

#[test]
fn spellings_of_one_url_are_one_system() {
    let system = |url: &str| orderwise(url).system().unwrap().to_owned();
    let first = system("https://erp.acme.example/OWAPI");
    for same in ["https://ERP.acme.example/owapi/", "https://erp.acme.example:443/OWAPI"] {
        assert_eq!(system(same), first, "{same}");
    }
    let others =
        ["http://erp.acme.example/OWAPI", "https://erp.acme.example:444/OWAPI", "https://erp.acme.example/OWAPI2"];
    for other in others {
        assert_ne!(system(other), first, "{other}");
    }
}

#[tokio::test]
async fn a_changed_password_is_tried_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    std::fs::write(&path, "old\n").unwrap();
    let served = serve(Simulator::new(1)).await;
    let credential = ApiCredential::Password { username: USERNAME.to_owned(), password: Secret::File(path.clone()) };
    let source = OrderWise::new(OrderWiseOptions { credential, ..options(&served.url()) }).unwrap();
    assert!(source.fetch(at(0)).await.unwrap_err().asked);
    assert!(!source.fetch(at(1)).await.unwrap_err().asked);
    std::fs::write(&path, PASSWORD).unwrap();
    source.fetch(at(1)).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    source.fetch(at(2)).await.unwrap();
    let error = failed(source.fetch(at(3600)).await, Failure::Auth, "the secret file");
    assert!(!error.asked);
}

#[tokio::test]
async fn retry_after_sets_the_cooldown() {
    let served = serve(Simulator::new(1)).await;
    let source = orderwise(&served.url());
    served.simulator.fail(Mode::RateLimited(Some("30".to_owned())), Some(1));
    assert!(source.fetch(at(0)).await.unwrap_err().asked);
    let repeated = failed(source.fetch(at(29)).await, Failure::RateLimited, "08:00:30 UTC");
    assert!(!repeated.asked);
    source.fetch(at(30)).await.unwrap();
    served.simulator.fail(Mode::RateLimited(Some("Fri, 15 Jan 2027 08:02:00 GMT".to_owned())), Some(1));
    source.fetch(at(31)).await.unwrap_err();
    failed(source.fetch(at(119)).await, Failure::RateLimited, "08:02:00 UTC");
    source.fetch(at(120)).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_was_set_back_ends_the_cooldown() {
    let served = serve(Simulator::new(1)).await;
    let source = orderwise(&served.url());
    served.simulator.fail(Mode::ServerError, Some(1));
    assert!(source.fetch(at(1000)).await.unwrap_err().asked);
    source.fetch(at(10)).await.unwrap();
}
