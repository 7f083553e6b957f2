//! One look for each protocol, the same in every figure.

use plotters::style::RGBColor;

use super::canvas::{GREY, INK, Marker, PALETTE};

/// Colours that no protocol here has.
const OTHERS: [RGBColor; 3] = [RGBColor(120, 75, 40), RGBColor(95, 55, 150), RGBColor(115, 120, 20)];

/// Colour and shape of a protocol, by its registry name. Variants share the colour of what they vary and differ in shape.
pub(crate) fn look(protocol: &str) -> (RGBColor, Marker) {
    let [blue, orange, green, vermillion, sky, pink] = PALETTE;
    let (base, variant) = protocol.split_once('+').map_or((protocol, ""), |(base, variant)| (base, variant));
    let marker = match (base.starts_with("fusion("), variant) {
        (true, _) => Marker::Diamond,
        (false, "") => Marker::Circle,
        (false, "softspoken") => Marker::Square,
        (false, _) => Marker::Triangle,
    };
    let color = match base {
        "plain" => GREY,
        "cheetah" => blue,
        "cryptflow2" => green,
        "cryptflow2-ot" => sky,
        "fusion(cheetah" | "fusion(cheetah)" => orange,
        "fusion(plain)" => INK,
        _ if base.starts_with("fusion(") => vermillion,
        "leviosa" => pink,
        // A protocol that is added without a colour of its own, or that a paper measured.
        _ => OTHERS[base.bytes().map(usize::from).sum::<usize>() % OTHERS.len()],
    };
    (color, marker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_differ_by_colour_or_by_shape() {
        let names = [
            "plain",
            "cheetah",
            "cheetah+iknp",
            "cheetah+softspoken",
            "cryptflow2",
            "cryptflow2+silent",
            "cryptflow2-ot",
            "fusion(cheetah)",
            "fusion(cryptflow2)",
            "fusion(plain)",
            "leviosa",
        ];
        for (i, a) in names.iter().enumerate() {
            assert!(names[..i].iter().all(|b| look(a) != look(b)), "{a}");
        }
        assert_eq!(look("cheetah").0, look("cheetah+iknp").0);
        assert_eq!(look("something new"), look("something new"));
        assert!(names.iter().all(|n| look(n).0 != look("something new").0), "a stranger has no protocol's colour");
    }
}
