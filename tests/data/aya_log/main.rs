use std::net::{Ipv4Addr, Ipv6Addr};
fn hex(b: &[u8]) -> String { b.iter().map(|b| format!("{b:02x}")).collect() }
fn out(what: &str, bytes: &[u8], level: &str, target: &str, module: &str, file: &str, line: u32, message: &str) {
    println!("{{\"what\":{what:?},\"bytes\":\"{}\",\"level\":{level:?},\"target\":{target:?},\"module\":{module:?},\"file\":{file:?},\"line\":{line},\"message\":{message:?}}}", hex(bytes));
}
macro_rules! old {
    ($c:ident, $name:expr, $level:ident, $msg:expr, [$($arg:expr),*]) => {{
        use $c::WriteToBuf;
        let mut buf = [0u8; 8192];
        let names: &[&str] = &[$(stringify!($arg)),*]; let n = names.len();
        let mut size = $c::write_record_header(&mut buf, "flow::target", $c::Level::$level, "flow::module", "src/main.rs", 42, n).unwrap().get();
        $( size += WriteToBuf::write($arg, &mut buf[size..]).unwrap().get(); )*
        out($name, &buf[..size], &stringify!($level).to_uppercase(), "flow::target", "flow::module", "src/main.rs", 42, &$msg);
    }};
}
macro_rules! new {
    ($name:expr, $level:ident, $msg:expr, [$($arg:expr),*]) => {{
        use c30::Argument;
        let names: &[&str] = &[$(stringify!($arg)),*]; let n = names.len() as u32;
        let mut body: Vec<u8> = vec![];
        let mut op = |s: &[u8]| { body.extend(s); Some(()) };
        c30::Header::new("flow::target", c30::Level::$level, "flow::module", "src/main.rs", 42, n).unwrap().with_bytes(&mut op).unwrap();
        $( { let a = $arg; let (k, v) = a.as_argument(); c30::Field::new(k, v).unwrap().with_bytes(&mut op).unwrap(); } )*
        let size = (body.len() + 2) as u16;
        let mut all = size.to_ne_bytes().to_vec(); all.extend(body);
        let mut cap = 64; while cap < all.len() { cap <<= 1; } all.resize(cap, 0xcc);
        out($name, &all, &stringify!($level).to_uppercase(), "flow::target", "flow::module", "src/main.rs", 42, &$msg);
    }};
}
fn main() {
    old!(c15, "0.1.15 text", Info, "hello".to_string(), ["hello"]);
    old!(c15, "0.1.15 no arguments", Error, String::new(), []);
    old!(c15, "0.1.15 numbers", Warn, format!("{} {} {} {} {}", -1i8, -300i16, -70000i32, i64::MIN, -5isize),
        [c15::DisplayHint::Default, -1i8, " ", c15::DisplayHint::Default, -300i16, " ", c15::DisplayHint::Default, -70000i32, " ", c15::DisplayHint::Default, i64::MIN, " ", c15::DisplayHint::Default, -5isize]);
    old!(c15, "0.1.15 unsigned", Debug, format!("{} {} {} {} {}", 255u8, 65535u16, u32::MAX, u64::MAX, 7usize),
        [c15::DisplayHint::Default, 255u8, " ", c15::DisplayHint::Default, 65535u16, " ", c15::DisplayHint::Default, u32::MAX, " ", c15::DisplayHint::Default, u64::MAX, " ", c15::DisplayHint::Default, 7usize]);
    old!(c15, "0.1.15 hex", Trace, format!("{:x} {:X} {:x}", 0xdeadbeefu32, 0xabcdefu64, -1i16),
        [c15::DisplayHint::LowerHex, 0xdeadbeefu32, " ", c15::DisplayHint::UpperHex, 0xabcdefu64, " ", c15::DisplayHint::LowerHex, -1i16]);
    old!(c15, "0.1.15 addresses", Info, format!("{} {} {} {} {}", Ipv4Addr::from(0x0a000001u32), Ipv6Addr::new(0x2001,0xdb8,0,0,1,0,0,1), Ipv6Addr::LOCALHOST, Ipv6Addr::new(0,0,0,0,0,0xffff,0x0102,0x0304), Ipv4Addr::new(1,2,3,4)),
        [c15::DisplayHint::Ip, 0x0a000001u32, " ", c15::DisplayHint::Ip, Ipv6Addr::new(0x2001,0xdb8,0,0,1,0,0,1).octets(), " ", c15::DisplayHint::Ip, Ipv6Addr::LOCALHOST.segments(), " ", c15::DisplayHint::Default, std::net::IpAddr::V6(Ipv6Addr::new(0,0,0,0,0,0xffff,0x0102,0x0304)), " ", c15::DisplayHint::Ip, [1u8,2,3,4]]);
    old!(c15, "0.1.15 macs", Info, "02:00:0a:ff:00:01 02:00:0A:FF:00:01".to_string(),
        [c15::DisplayHint::LowerMac, [2u8,0,10,255,0,1], " ", c15::DisplayHint::UpperMac, [2u8,0,10,255,0,1]]);
    old!(c15, "0.1.15 bytes", Info, "0aff 0AFF".to_string(), [c15::DisplayHint::LowerHex, &[10u8,255][..], " ", c15::DisplayHint::UpperHex, &[10u8,255][..]]);
    old!(c15, "0.1.15 floats", Info, format!("{} {} {} {} {}", 1.5f32, 0.1f32, 1e21f64, f64::NAN, -0.000001f64),
        [c15::DisplayHint::Default, 1.5f32, " ", c15::DisplayHint::Default, 0.1f32, " ", c15::DisplayHint::Default, 1e21f64, " ", c15::DisplayHint::Default, f64::NAN, " ", c15::DisplayHint::Default, -0.000001f64]);
    old!(c14, "0.1.14 text", Info, "hello, world: 5".to_string(), ["hello, world: ", c14::DisplayHint::Default, 5u32]);
    old!(c14, "0.1.14 sixteen letters", Info, "abcdefghijklmnop".to_string(), ["abcdefghijklmnop"]);
    old!(c14, "0.1.14 addresses", Info, format!("{} {} 02:00:00:00:00:01", Ipv6Addr::LOCALHOST, Ipv6Addr::new(0xfe80,0,0,0,0,0,0,1)),
        [c14::DisplayHint::Ip, Ipv6Addr::LOCALHOST.octets(), " ", c14::DisplayHint::Ip, Ipv6Addr::new(0xfe80,0,0,0,0,0,0,1).segments(), " ", c14::DisplayHint::LowerMac, [2u8,0,0,0,0,1]]);
    old!(c14, "0.1.14 bytes", Info, "got 0102ff!".to_string(), ["got ", c14::DisplayHint::LowerHex, &[1u8,2,255][..], "!"]);
    new!("0.3.0 text", Info, "hello 🐝".to_string(), ["hello 🐝"]);
    new!("0.3.0 no arguments", Error, String::new(), []);
    new!("0.3.0 numbers", Warn, format!("{} {} {} {}", -1i8, u64::MAX, i32::MIN, 3usize),
        [c30::DisplayHint::Default, -1i8, " ", c30::DisplayHint::Default, u64::MAX, " ", c30::DisplayHint::Default, i32::MIN, " ", c30::DisplayHint::Default, 3usize]);
    new!("0.3.0 addresses", Debug, format!("{} {} {} {}", Ipv4Addr::from(0x0a000001u32), Ipv6Addr::UNSPECIFIED, Ipv6Addr::new(1,0,0,2,0,0,0,3), Ipv6Addr::new(1,0,2,3,4,5,6,7)),
        [c30::DisplayHint::Ip, 0x0a000001u32, " ", c30::DisplayHint::Ip, Ipv6Addr::UNSPECIFIED.octets(), " ", c30::DisplayHint::Ip, Ipv6Addr::new(1,0,0,2,0,0,0,3).segments(), " ", c30::DisplayHint::Default, Ipv6Addr::new(1,0,2,3,4,5,6,7)]);
    new!("0.3.0 byte arrays", Trace, "010203 01020304 0A0B0C0D0E0F 02:00:00:00:00:01".to_string(),
        [c30::DisplayHint::LowerHex, [1u8,2,3], " ", c30::DisplayHint::LowerHex, &[1u8,2,3,4][..], " ", c30::DisplayHint::UpperHex, &[10u8,11,12,13,14,15][..], " ", c30::DisplayHint::LowerMac, [2u8,0,0,0,0,1]]);
    new!("0.3.0 pointer", Info, format!("at {:p}", 0x1234usize as *const u8), ["at ", c30::DisplayHint::Pointer, 0x1234usize as *const u8]);
    new!("0.3.0 floats", Info, format!("{} {} {}", 0.3f32, 100.0f64, f32::MAX), [c30::DisplayHint::Default, 0.3f32, " ", c30::DisplayHint::Default, 100.0f64, " ", c30::DisplayHint::Default, f32::MAX]);
    let long = "x".repeat(300); new!("0.3.0 long", Info, long, [long.as_str()]);
}
